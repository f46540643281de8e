import { LRUCache } from 'lru-cache'
import { type Caller, compileRights, type Right, type Rights } from '#shared/access/access.ts'
import { call } from '#shared/bus/call.ts'
import type { Result } from '#shared/contract/contract.ts'
import { auth } from '#shared/contracts/access/auth.ts'

const everything: Rights = { rights: [], all: true, allows: () => true }
const nothing: Rights = compileRights([])

// Rights are named by a hash of their content, so an entry never becomes stale; changed rights have another name.
const compiled = new LRUCache<string, Rights>({ max: 1000 })

/** The compiled rights of a caller, from an LRU cache by name. */
export async function rightsOf(caller: Caller): Promise<Rights> {
  if (caller.kind === 'service') return everything
  if (caller.kind === 'anonymous') return nothing
  const known = compiled.get(caller.rights)
  if (known) return known
  const made = compileRights(await fetchRights(caller.rights))
  compiled.set(caller.rights, made)
  return made
}

/** Reads the rights from auth in pages, because a message on the bus holds at most 1 MiB. */
async function fetchRights(name: string): Promise<Right[]> {
  const found: Right[] = []
  for (let offset: number | null = 0; offset !== null;) {
    const { rights, next }: Result<typeof auth, 'rights'> = await call(
      auth,
      'rights',
      { name, offset },
      { isQuestion: true },
    )
    found.push(...rights)
    offset = next
  }
  return found
}
