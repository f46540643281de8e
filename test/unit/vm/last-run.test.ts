import { describe, expect, test } from 'vitest'
import { isOwedNow } from '../../../services/cluster/ha/note.ts'
import { ranAfter } from '../../../services/vm/fencing/boots.ts'

const ran = { node: 'n1', node_boot_id: 'first', is_lost: false }
const seen = (status: 'running' | 'stopped' | 'unknown', boot: string, last: typeof ran | undefined = ran) =>
  ranAfter({ node: 'n1', status, ran: last }, boot)

describe('the last run of a guest under HA', () => {
  test('is noted with the boot of its node while it runs', () => {
    expect(seen('running', 'second')).toEqual({ node: 'n1', node_boot_id: 'second', is_lost: false })
    expect(seen('running', 'first', { ...ran, is_lost: true })).toEqual(ran)
  })
  test('was lost when its node has booted and it is off there', () => {
    expect(seen('stopped', 'second')).toEqual({ ...ran, is_lost: true })
    expect(seen('stopped', 'third', { ...ran, is_lost: true })).toEqual({ ...ran, is_lost: true })
  })
  test('ended by itself when it is off in the same boot, also if the node boots later', () => {
    expect(seen('stopped', 'first')).toBeUndefined()
    expect(ranAfter({ node: 'n1', status: 'stopped', ran: undefined }, 'second')).toBeUndefined()
  })
  test('tells nothing about another node, nor while its status is unknown', () => {
    expect(ranAfter({ node: 'n2', status: 'stopped', ran }, 'second')).toBeUndefined()
    expect(seen('unknown', 'second')).toEqual(ran)
  })
})

test('a lost guest is owed while it is meant to run and does not', () => {
  const noted = { status: 'stopped', isWanted: true, isOnline: true, isLost: true }
  expect(isOwedNow(false, noted)).toBe(true)
  expect(isOwedNow(false, { ...noted, isLost: false })).toBe(false)
  expect(isOwedNow(true, { ...noted, status: 'running' })).toBe(false)
  expect(isOwedNow(true, { ...noted, isWanted: false })).toBe(false)
})
