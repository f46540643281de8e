import type { Writable } from 'node:stream'
import fc from 'fast-check'
fc.configureGlobal({ numRuns: 20*3000 })
import { describe, expect, test } from 'vitest'
import * as ws from 'ws'
import { compileRights } from '#shared/access/access.ts'
import { event } from '#shared/events/event.ts'
import { audienceOf } from '../../../services/gateway/events/audience.ts'
import { type Frame, frameOf, webSocketFrame } from '../../../services/gateway/events/frame.ts'
import { createVersionCheck } from '../../../services/gateway/events/outdated.ts'
import { createRing } from '../../../services/gateway/events/ring.ts'

const timestamp = '2026-01-01T00:00:00.000Z'
const created = (seq: number, vm_id = 'a') =>
  frameOf({ seq, event: event('VmCreated', { vm_id, name: 'n', timestamp }) })

// The library's types leave out the half that reads frames.
const { Receiver } = ws as unknown as { Receiver: new (options: { isServer: boolean }) => Writable }

/** What another implementation of the protocol reads out of our bytes. */
async function read(bytes: Buffer): Promise<string[]> {
  const receiver = new Receiver({ isServer: false })
  const texts: string[] = []
  receiver.on('message', (data: Buffer) => texts.push(data.toString('utf8')))
  await new Promise((done) => receiver.write(bytes, done))
  return texts
}

describe('frames', () => {
  test.each([0, 1, 125, 126, 65_535, 65_536, 200_000])('of %i bytes are read as they were written', async (size) => {
    const text = 'x'.repeat(size)
    expect(await read(Buffer.concat([webSocketFrame(text), webSocketFrame('next')]))).toEqual([text, 'next'])
  })
  test('carry the envelope, over both media', async () => {
    const { bytes, seq } = created(7, 'ü')
    const [text] = await read(bytes.ws)
    expect(JSON.parse(text!)).toMatchObject({ seq: 7, type: 'VmCreated', topic: 'vm:events', data: { vm_id: 'ü' } })
    expect(bytes.sse.toString()).toBe(`id: ${seq}\ndata: ${text}\n\n`)
  })
})

describe('the ring', () => {
  test('gives the events after a place, also when older ones were dropped', () => {
    const numbers = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 60 })
    fc.assert(
      fc.property(numbers, fc.integer({ min: 1, max: 20 }), (steps, most) => {
        const ring = createRing(most, 1_000_000)
        const pushed: Frame[] = []
        let seq = 0
        for (const step of steps) {
          const frame = created((seq += step))
          pushed.push(frame)
          ring.push(frame)
        }
        for (let place = ring.start(); place <= seq; place++)
          expect(ring.after(place, Infinity)).toEqual(pushed.filter((frame) => frame.seq > place))
        expect(ring.after(ring.start(), Infinity).length).toBe(Math.min(most, pushed.length))
      }),
    )
  })
  test('keeps within its memory, and gives pieces', () => {
    const size = created(1).bytes.ws.length
    const ring = createRing(1000, size * 3)
    for (let seq = 1; seq <= 9; seq++) ring.push(created(seq))
    expect(ring.start()).toBe(6)
    expect(ring.after(6, 1).map(({ seq }) => seq)).toEqual([7])
    ring.clear(50)
    expect([ring.start(), ring.after(0, 1)]).toEqual([50, []])
  })
})

test('a client that is given only events that are not outdated never sees a version go back', () => {
  const told = fc.array(fc.record({ id: fc.constantFrom('a', 'b'), version: fc.integer({ min: 1, max: 6 }) }))
  fc.assert(
    fc.property(told, (all) => {
      const isOutdated = createVersionCheck()
      const given = all.filter((data) => !isOutdated({ type: 'OperationUpdated', data: data as never }))
      for (const id of ['a', 'b']) {
        const versions = given.filter((one) => one.id === id).map(({ version }) => version)
        expect(versions).toEqual(versions.toSorted((one, other) => one - other))
        const highest = (those: typeof all) => Math.max(0, ...those.map((one) => (one.id === id ? one.version : 0)))
        expect(highest(given)).toBe(highest(all))
      }
    }),
  )
  const isOutdated = createVersionCheck()
  expect([created(1), created(2)].map(({ type, data }) => isOutdated({ type, data: data as never }))).toEqual([
    false,
    false,
  ])
})

describe('an audience', () => {
  const user = { kind: 'user', user: 'bob', rights: 'r', address: '', credential: { by: 'token', id: '' } } as const
  const bob = audienceOf(user, compileRights([{ path: '/api/vms/b', privileges: ['VmAudit'] }]))
  const auditor = audienceOf(user, compileRights([{ path: '/', privileges: ['SysAudit'] }]))
  const owned = (by: string) => ({ ...created(1), type: 'OperationUpdated', data: { user: by } }) as Frame
  test('gets events of resources that it may see', () => {
    expect([bob.mayReceive(created(1, 'b')), bob.mayReceive(created(1, 'c'))]).toEqual([true, false])
  })
  test('is given its own operations, and all of them with SysAudit', () => {
    expect([owned('bob'), owned('ann')].map(bob.mayReceive)).toEqual([true, false])
    expect(auditor.mayReceive(owned('ann'))).toBe(true)
  })
  test('gets no event of a kind without defined rights', () => {
    expect(auditor.mayReceive({ ...created(1), type: 'FromTheFuture' as never })).toBe(false)
  })
})
