import { expect, test } from 'vitest'
import { findingOf, type Left } from '../../../services/vm/findings/decide.ts'

const left: Left = { kind: 'volume', node: null, name: 'images/a-disk-0', owner: '/api/vms/a', operation: 'o' }
const actionOf = (given: Partial<Left>, state: string | null) => findingOf({ ...left, ...given }, state)?.action ?? null

test.each(['failed', 'cancelled', 'rolled_back'])('what an operation has made that ended as %s is removed', (state) => {
  expect(findingOf(left, state)).toMatchObject({ action: 'remove', operation_id: 'o', operation_state: state })
})

test.each(['succeeded', 'needs_attention'])('a whole thing of an operation that ended as %s stays', (state) => {
  expect(findingOf(left, state)?.reason).toContain(`has ended as ${state}: it may be of use`)
  expect(actionOf({}, state)).toBe('report')
  // A file that was not complete is of use to nobody.
  expect(actionOf({ kind: 'file', isUnfinished: true }, state)).toBe('remove')
})

test.each(['queued', 'running', 'cancelling'])('a thing of an operation that is %s is no finding', (state) => {
  expect(actionOf({}, state)).toBeNull()
  expect(actionOf({ isUnfinished: true }, state)).toBeNull()
})

test('a thing without a mark, or with that of an operation that nobody knows, stays', () => {
  for (const isUnfinished of [true, false]) {
    expect(actionOf({ operation: null, isUnfinished }, null)).toBe('report')
    expect(actionOf({ isUnfinished }, null)).toBe('report')
  }
})

test('a guest that runs is not removed', () => {
  expect(actionOf({ kind: 'guest', isRunning: true }, 'failed')).toBe('report')
  expect(actionOf({ kind: 'guest', isRunning: false }, 'failed')).toBe('remove')
})

test('the same thing has the same id each time, and another one another', () => {
  expect(findingOf(left, 'failed')!.id).toBe(findingOf({ ...left, operation: null }, null)!.id)
  expect(findingOf({ ...left, name: 'images/b-disk-0' }, 'failed')!.id).not.toBe(findingOf(left, 'failed')!.id)
})
