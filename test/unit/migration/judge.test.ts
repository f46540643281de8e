import { expect, test } from 'vitest'
import { sideOf } from '../../../services/vm/drivers/qemu/relocation/sides.ts'
import { judge, type Side } from '../../../services/vm/drivers/relocation.ts'

const all: Side[] = ['absent', 'off', 'running', 'paused', 'incoming', 'handed_over', 'split', 'unknown']
const pairs = all.flatMap((source) => all.map((target) => ({ source, target, verdict: judge({ source, target }) })))
const having = (verdict: string) => pairs.filter((each) => each.verdict === verdict)

test('the source is resumed only when the target answers and does not run the guest', () => {
  const found = having('resume')
  expect(found.map(({ target }) => target).toSorted()).toEqual(['absent', 'handed_over', 'incoming', 'off'])
  expect(new Set(found.map(({ source }) => source))).toEqual(new Set(['handed_over']))
})

test('nothing is decided while a node that may run the guest does not answer', () => {
  for (const { source, verdict } of pairs.filter(({ target }) => target === 'unknown'))
    expect(verdict, source).toBe(source === 'running' || source === 'paused' ? 'stays' : 'wait')
  for (const { target, verdict } of pairs.filter(({ source }) => source === 'unknown'))
    expect(verdict, target).toBe(target === 'running' || target === 'paused' ? 'moved' : 'wait')
})

test('a guest that the target runs has moved, unless the source runs it too', () => {
  for (const { source, verdict } of pairs.filter(({ target }) => target === 'running'))
    expect(verdict, source).toBe(source === 'running' ? 'double' : 'moved')
})

test('a guest that is off on both nodes has ended itself', () => {
  expect(having('ended').every(({ source }) => source === 'off' || source === 'absent' || source === 'incoming')).toBe(
    true,
  )
})

test('a guest in post-copy is neither ended nor resumed on any node, until the target runs it alone', () => {
  for (const { target, verdict } of pairs.filter(({ source }) => source === 'split'))
    expect(verdict, target).toBe(
      target === 'running' || target === 'paused'
        ? 'moved'
        : target === 'unknown'
          ? 'wait'
          : target === 'split' || target === 'incoming'
            ? 'split'
            : 'torn',
    )
})

test.each([
  ['paused', 'postcopy', 'source'],
  ['paused', 'postcopy_failed', 'source'],
  ['running', 'postcopy', 'target'],
  ['running', 'postcopy_failed', 'target'],
] as const)('libvirt tells of a guest in post-copy as %s (%s)', (state, reason, at) => {
  expect(sideOf({ state, reason }, at)).toBe('split')
})
