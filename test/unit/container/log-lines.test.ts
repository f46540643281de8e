import { array, assert, asyncProperty, bigInt, constantFrom, integer, record, string } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { demultiplex } from '#shared/nodes/docker/demultiplex.ts'
import { linesOf, type LogLine, maxLineBytes, nanosOf, timeOf } from '../../../services/container/drivers/log-lines.ts'
import { cursorOf, placeOf } from '../../../services/container/logs/cursor.ts'
import { select } from '../../../services/container/logs/select.ts'

function frameOf(stream: 1 | 2, text: string): Buffer {
  const payload = Buffer.from(text)
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0])
  header.writeUInt32BE(payload.length, 4)
  return Buffer.concat([header, payload])
}

async function* cut(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const collected = async (frames: Buffer[], size: number): Promise<LogLine[]> =>
  (await Array.fromAsync(linesOf(demultiplex(cut(Buffer.concat(frames), size))))).flat()

describe('lines of a log', () => {
  test('are joined from their fragments, have the time of the first one, and keep their order', async () => {
    const text = string({ unit: 'grapheme-ascii', maxLength: 60 })
    const lines = array(record({ stream: constantFrom(1 as const, 2 as const), text }), { maxLength: 30 })
    await assert(
      asyncProperty(lines, integer({ min: 1, max: 20 }), integer({ min: 1, max: 50 }), async (all, fragment, size) => {
        const frames = all.flatMap(({ stream, text }, index) => {
          const pieces = `${text}\n`.match(new RegExp(`[^]{1,${fragment}}`, 'g')) ?? []
          return pieces.map((piece, turn) =>
            frameOf(stream, `${timeOf(BigInt(index) * 1_000_003n + BigInt(turn))} ${piece}`),
          )
        })
        const expected = all.map(({ stream, text }, index) => ({
          nanos: BigInt(index) * 1_000_003n,
          stream,
          text,
          truncated: false,
        }))
        expect(await collected(frames, size)).toEqual(expected)
      }),
    )
  })

  test('are cut at their limit, and a last one without a line break is delivered', async () => {
    const stamp = '2026-01-01T00:00:00.5Z'
    const fragments = Array.from({ length: 640 }, () => frameOf(1, `${stamp} ${'x'.repeat(16_384)}`))
    const lines = await collected([...fragments, frameOf(1, `${stamp} \n`), frameOf(1, `${stamp} no newline`)], 65_536)
    expect(lines.map(({ text, truncated }) => [text.length, truncated])).toEqual([
      [maxLineBytes, true],
      [10, false],
    ])
  })

  test('have times that are read with all their digits', () => {
    assert(
      asyncProperty(bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }), async (nanos) => {
        expect(nanosOf(timeOf(nanos))).toBe(nanos)
      }),
    )
    expect(nanosOf('2026-01-01T01:00:00+01:00')).toBe(nanosOf('2026-01-01T00:00:00Z'))
    expect(nanosOf('yesterday')).toBeNull()
  })
})

describe('the cursor of a log', () => {
  const log = (times: number[]) =>
    times.map((time, index): LogLine => ({ nanos: BigInt(time), stream: 1, text: String(index), truncated: false }))
  async function* from(lines: LogLine[]) {
    for (const line of lines) yield [line]
  }
  const none = { after: null, since: null, until: null }

  test('leads through every line once, also through lines of one time', async () => {
    const times = array(integer({ min: 1, max: 5 }), { maxLength: 30 }).map((all) => all.toSorted((a, b) => a - b))
    await assert(
      asyncProperty(times, integer({ min: 1, max: 4 }), async (all, count) => {
        const lines = log(all)
        const read: string[] = []
        let after: Awaited<ReturnType<typeof select>>['end'] | null = null
        for (let turn = 0; turn <= all.length; turn++) {
          const got: Awaited<ReturnType<typeof select>> = await select(from(lines), {
            ...none,
            after,
            isTail: false,
            count,
          })
          expect(got.gap).toBe(false)
          read.push(...got.lines.map(({ text }) => text))
          const place = placeOf(cursorOf(got.end))
          after = 'nanos' in place ? place : null
        }
        expect(read).toEqual(lines.map(({ text }) => text))
      }),
    )
  })

  test('tells a gap when its place is not in the log any more', async () => {
    const { end } = await select(from(log([1, 2, 2])), { ...none, isTail: true, count: 1 })
    expect(end).toEqual({ nanos: 2n, count: 2 })
    const begunAnew = await select(from(log([5, 6])), { ...none, after: end, isTail: false, count: 10 })
    expect(begunAnew).toMatchObject({ gap: true, lines: [{ text: '0' }, { text: '1' }] })
  })

  test('is refused when it is none', () => {
    expect(placeOf(cursorOf({ offset: 12 }))).toEqual({ offset: 12 })
    for (const text of ['', 'x', cursorOf({ offset: 1 }).slice(1)]) expect(() => placeOf(text)).toThrow('not a cursor')
  })
})
