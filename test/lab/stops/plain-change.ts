import type { LabHost } from '../hosts/hosts.ts'
import type { Answered } from '../clients/http.ts'
import type { Request } from './insist.ts'
import type { Separate } from './separate.ts'

/** Two changes of one thing, one after the other, and the request that reads it. */
export type PlainChange = {
  first: Request
  /** The later change. */
  later: Request
  read: string
  /** Takes away what would be in the way of the next round. */
  after?: Request
  /** Of an answer that has more than the thing: the part about it. */
  pick?: (body: Answered['body']) => unknown
}

/** Makes the thing to be changed, under a name that no other round has. */
export type Prepare = (api: Api, name: string) => Promise<PlainChange>
export type Api = {
  separate: Separate
  /** Has something done before the stop. @throws if it fails */
  make: (line: string, json?: unknown, token?: string) => Promise<Answered>
  second: LabHost
}

export const change = (line: string, json?: unknown): Request => ({ line, ...(json !== undefined && { json }) })

/** The part of a list that has this id. */
export const byId = (id: unknown) => (body: Answered['body']) =>
  (body['data'] as { id: string }[] | undefined)?.filter((one) => one.id === id)
