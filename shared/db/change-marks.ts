import { hash } from 'node:crypto'
import type { Stored } from '#shared/db/model.ts'
import { requestContext } from '#shared/runtime/request-context.ts'

/**
 * Marks of changes. A plain change is made once, as an operation is: it writes a mark into the record that follows from the
 * seed of its call, so that a repetition, which another replica may work on, finds it and changes nothing.
 */

/** A repetition comes within seconds; so many later changes of one record do not push its mark out meanwhile. */
const keptMarks = 16
/** 72 bits: enough that two calls do not share one. */
const markLength = 12

/** The mark of the next change that this call makes of a record; undefined for work without a seed, such as operations. */
export function nextMark(record: string): string | undefined {
  const idempotency = requestContext()?.idempotency
  if (!idempotency) return undefined
  const count = idempotency.changes.get(record) ?? 0
  return hash('sha256', `${idempotency.seed}/${record}/${count}`, 'base64url').slice(0, markLength)
}

/** Notes that this call has changed a record: its next change of it has another mark. */
export function countChange(record: string): void {
  const changes = requestContext()?.idempotency?.changes
  changes?.set(record, (changes.get(record) ?? 0) + 1)
}

export const carries = ({ changed_by }: Stored, mark: string | undefined): boolean =>
  mark !== undefined && changed_by?.includes(mark) === true

/** The part of `$push` that adds a mark and keeps the last ones. */
export const markedWith = (mark: string) => ({ $each: [mark], $slice: -keptMarks })
