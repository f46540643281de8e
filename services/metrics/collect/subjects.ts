import { columnNames } from '#shared/contracts/metrics/catalog.ts'
import { kindOf, type SubjectName } from '../history/chunks.ts'
import { createRing, type Ring, type Row } from '../history/ring.ts'

export const nodeIntervalMs = 5000
export const vmIntervalMs = 10_000
export const intervalOf = (subject: SubjectName) => (kindOf(subject) === 'nodes' ? nodeIntervalMs : vmIntervalMs)

/** A window of ten minutes has to be in the ring until it is written, with the row before it. */
const ringMs = 800_000

/** The last samples of everything that is measured, by this replica or another. */
const rings = new Map<SubjectName, Ring>()

export const ringOf = (subject: SubjectName): Ring | undefined => rings.get(subject)
export const allRings = (): ReadonlyMap<SubjectName, Ring> => rings

/** Adds a sample. @returns its ring */
export function addRow(subject: SubjectName, row: Row): Ring {
  const ring = rings.get(subject) ?? createRing(columnNames(kindOf(subject)), ringMs / intervalOf(subject))
  rings.set(subject, ring)
  ring.push(row)
  return ring
}

/** Forgets a subject that is not there any more. Its history stays as long as it is kept. */
export const forgetRing = (subject: SubjectName) => rings.delete(subject)

let offset = performance.timeOrigin

/**
 * The time of a sample. `steady` never jumps; the wall clock is followed when it was set, and only then, so that samples
 * are evenly spaced.
 */
export function clock(now = Date.now(), steadyNow = performance.now()): { time: number; steady: number } {
  const elapsed = Math.round(steadyNow)
  if (Math.abs(now - (offset + elapsed)) > 100) offset = now - elapsed
  return { time: Math.round(offset) + elapsed, steady: Math.round(performance.timeOrigin) + elapsed }
}
