import { expect, test } from 'vitest'
import { watchConvergence } from '../../../services/vm/relocation/convergence.ts'

const none = {
  ram_total_bytes: 1000,
  ram_transferred_bytes: 0,
  disk_total_bytes: 0,
  disk_transferred_bytes: 0,
  rate_bytes_per_second: null,
  dirty_bytes_per_second: null,
  elapsed_ms: null,
  downtime_ms: null,
}
/** The iteration at which a move has stalled; null when it never has. */
function stallOf(rests: number[], slowsDown = false, throttle: number | null = null): number | null {
  const hasStalled = watchConvergence(slowsDown)
  for (const [index, rest] of rests.entries()) {
    // Several samples of each iteration; the last one is at its end.
    for (const ram_remaining_bytes of [1000, rest])
      if (hasStalled({ ...none, iteration: index + 1, ram_remaining_bytes, throttle_percent: throttle }))
        return index + 1
  }
  return null
}

test('a move whose rest becomes smaller has not stalled', () => {
  expect(stallOf([900, 800, 640, 512, 400, 300, 200, 150, 100, 80, 60])).toBeNull()
})

test('a move whose rest stays has stalled after some iterations', () => {
  expect(stallOf([300, 290, 310, 305, 300, 295, 290, 300, 300])).toBe(8)
})

test('while the guest can be slowed down more, nothing has stalled', () => {
  const rests = Array.from({ length: 20 }, () => 300)
  expect(stallOf(rests, true, 40)).toBeNull()
  expect(stallOf(rests, true, 99)).toBe(8)
})
