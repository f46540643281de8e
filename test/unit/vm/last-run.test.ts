import { describe, expect, test } from 'vitest'
import { isOwedNow } from '../../../services/cluster/ha/note.ts'
import { ranAfter } from '../../../services/vm/fencing/boots.ts'

const ran = { node: 'n1', node_boot_id: 'first', is_lost: false }
type Last = Parameters<typeof ranAfter>[0]['ran']
const seen = (status: 'running' | 'stopped' | 'unknown', boot: string, last: Last = ran, storage: Storage = null) =>
  ranAfter({ node: 'n1', status, ran: last, storage }, boot)
type Storage = Parameters<typeof ranAfter>[0]['storage']

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
    expect(ranAfter({ node: 'n1', status: 'stopped', ran: undefined, storage: null }, 'second')).toBeUndefined()
  })
  test('was lost when its guard has ended it for lost storage, whose state is kept up to date', () => {
    const away = seen('stopped', 'first', ran, 'away')
    expect(away).toEqual({ ...ran, is_lost: true, storage: 'away' })
    expect(seen('stopped', 'first', away, 'back')).toEqual({ ...ran, is_lost: true, storage: 'back' })
    expect(seen('stopped', 'second', away, null)).toEqual({ ...ran, is_lost: true })
    expect(seen('running', 'first', away)).toEqual(ran)
    // A note that is found later says nothing of a guest that was seen off before.
    expect(ranAfter({ node: 'n1', status: 'stopped', ran: undefined, storage: 'back' }, 'first')).toBeUndefined()
  })
  test('tells nothing about another node, nor while its status is unknown', () => {
    expect(ranAfter({ node: 'n2', status: 'stopped', ran, storage: null }, 'second')).toBeUndefined()
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
