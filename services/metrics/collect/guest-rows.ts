import type { SubjectName } from '../history/chunks.ts'
import type { Row } from '../history/ring.ts'
import { ringOf } from './subjects.ts'

export type Measured = { subject: SubjectName; row: Row }
export type Clock = Pick<Row, 'time' | 'steady'>

/** One row for a subject that was measured before and does not run any more; none when that is known already. */
export function goneRow(subject: SubjectName, node: string, because: string, times: Clock): Measured[] {
  const ring = ringOf(subject)
  if (!ring || ring.value('up') !== 1) return []
  const row: Row = {
    ...times,
    identity: { id: 'gone', node },
    source: ring.last().source,
    quality: 'missing',
    reason: 'gone',
    because,
    values: { up: 0 },
  }
  return [{ subject, row }]
}
