import { containers } from '#shared/contracts/container/containers.ts'
import type { Result } from '#shared/contract/contract.ts'
import type { TestHorcrux } from '../product/horcrux.ts'

type Answer = Result<typeof containers, 'logs'>
export type ReadLine = Answer['lines'][number]

/** Reads a log from a cursor to its present end. */
export async function readLog(
  horcrux: TestHorcrux,
  id: string,
  given: { tail?: number; cursor?: string } = {},
): Promise<{ lines: ReadLine[]; cursor: string; gaps: number }> {
  const lines: ReadLine[] = []
  let gaps = 0
  // The beginning of the log: before all lines.
  let cursor = given.cursor ?? Buffer.from('t0.0').toString('base64url')
  for (;;) {
    const answer: Answer = await horcrux.call(containers, 'logs', { id, tail: given.tail ?? 10_000, cursor })
    lines.push(...answer.lines)
    if (answer.gap) gaps++
    cursor = answer.next_cursor
    if (answer.lines.length === 0) return { lines, cursor, gaps }
  }
}
