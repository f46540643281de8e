import { describe, expect, test } from 'vitest'
import {
  holdOffOf,
  isolationOf,
  type Looked,
  quarantineMs,
  startTracker,
  stateOf,
  track,
} from '../../../services/cluster/ha/track.ts'

const node = (id: string, isOnline = true, more: Partial<Looked> = {}): Looked => ({
  id,
  isOnline,
  isRemote: true,
  isConfirmedOff: false,
  ...more,
})

/** Looks every 5 s; each letter is one look at n1: `o` for one that answers, `x` for a missed one. n2 and n3 always answer. */
function looks(schedule: string) {
  let [tracker, nowMs] = [startTracker(0), 0]
  const states: string[] = []
  for (const letter of schedule) {
    nowMs += 5000
    tracker = track(tracker, [node('n1', letter === 'o'), node('n2'), node('n3')], nowMs)
    states.push(stateOf(tracker, node('n1', letter === 'o')))
  }
  return { tracker, nowMs, states }
}

test('a node is suspect at once, and lost after 15 seconds', () => {
  expect(looks('oxxxxx').states).toEqual(['online', 'suspect', 'suspect', 'suspect', 'lost', 'lost'])
})

test('cuts of 8 seconds, ten times, lose no node', () => {
  expect(looks('oxxo'.repeat(10)).states).not.toContain('lost')
})

test('when our own loop stood still, missed checks before it count no more', () => {
  const { tracker, nowMs } = looks('oxxx')
  const after = track(tracker, [node('n1', false), node('n2'), node('n3')], nowMs + 60_000)
  expect(stateOf(after, node('n1', false))).toBe('suspect')
})

test('a node that is lost again and again is quarantined, twice as long each time', () => {
  const lossesOf = (count: number) => {
    const { tracker, nowMs } = looks('oxxxxo'.repeat(count))
    return quarantineMs(tracker, 'n1', nowMs)
  }
  expect([1, 2, 3, 4].map(lossesOf)).toEqual([0, 60_000, 120_000, 240_000])
})

describe('isolation', () => {
  test('is the loss of more than half of the other nodes, or of the only one', () => {
    expect(isolationOf([node('n1', false), node('n2')])).toBeNull()
    expect(isolationOf([node('n1', false), node('n2', false), node('n3')])).toContain('2 of 3')
    expect(isolationOf([node('n1', false), node('local', true, { isRemote: false })])).toContain('1 of 1')
  })
  test('does not count nodes that a user has confirmed to be off', () => {
    const off = { isConfirmedOff: true }
    expect(isolationOf([node('n1', false, off), node('n2', false), node('n3')])).toBeNull()
  })
})

describe('after a cold start', () => {
  const first = [node('n1', false), node('n2')]
  test('it holds off until every node has answered, or the time is over', () => {
    const tracker = track(startTracker(0), first, 5000)
    expect(holdOffOf(tracker, first, 60_000, 5000)).toContain("'n1'")
    expect(holdOffOf(tracker, first, 60_000, 60_000)).toBeNull()
    const all = [node('n1'), node('n2')]
    expect(holdOffOf(track(tracker, all, 10_000), all, 60_000, 10_000)).toBeNull()
  })
  test('it holds off again when an isolation ends', () => {
    const away = [node('n1', false), node('n2', false)]
    let tracker = track(startTracker(0), [node('n1'), node('n2')], 5000)
    tracker = track(tracker, away, 10_000)
    tracker = track(tracker, first, 15_000)
    expect(holdOffOf(tracker, first, 60_000, 15_000)).toContain("'n1'")
  })
})
