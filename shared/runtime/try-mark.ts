import { v7 } from 'uuid'
import { requestContext } from './request-context.ts'

/**
 * Marks of tries, in the names of files that are made aside. Two tries never share a name, so a late one finds nothing of
 * a newer one under its own.
 */
export type TryMark = {
  /** The operation that the file is made for; the call itself where there is none. */
  operation: string
  epoch: number
  /** UUID v7: within one run of an operation, a later call has a higher one. */
  call: string
  number: number
}

/** The mark of the running try. Work without a call, such as the step of an operation, gets another one each time. */
export function tryMark(): TryMark {
  const { fence, calledBy, call: { id: call, number } = { id: v7(), number: 1 } } = requestContext() ?? {}
  const { operation = call, epoch = 0 } = fence ?? calledBy ?? {}
  return { operation, epoch, call, number }
}

export const textOfMark = ({ operation, epoch, call, number }: TryMark) => `${operation}.${epoch}.${call}.${number}`

const uuid = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const form = new RegExp(String.raw`^(${uuid})\.(\d+)\.(${uuid})\.(\d+)$`)

/** Reads a mark; null for any other text. */
export function readMark(text: string): TryMark | null {
  const [, operation, epoch, call, number] = form.exec(text) ?? []
  if (operation === undefined || call === undefined) return null
  return { operation, epoch: Number(epoch), call, number: Number(number) }
}

/** True when a try of the same operation came before another one. */
export function isOlder(one: TryMark, other: TryMark): boolean {
  if (one.operation !== other.operation) return false
  if (one.epoch !== other.epoch) return one.epoch < other.epoch
  return one.call === other.call ? one.number < other.number : one.call < other.call
}
