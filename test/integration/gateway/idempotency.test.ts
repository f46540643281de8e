import { randomUUID } from 'node:crypto'
import mongoose from 'mongoose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { operations } from '#shared/contracts/core/operations.ts'
import { createGateway } from '../../../services/gateway/service.ts'
import { startThings } from '../../lab/product/gateway-only.ts'
import { hold, people, ran, resetPeople, tellAuthChanged, things } from '../../lab/product/things.ts'
import type { TestHorcrux } from '../../lab/product/horcrux.ts'
import { ask } from '../../lab/clients/http.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const gateways = [createGateway([operations, things]), createGateway([operations, things])] as const
let horcrux: TestHorcrux

/** The part of the driver's connections that is in none of its types. */
type Pool = { pool: { clear: (how: { interruptInUseConnections: boolean }) => void } }

const post = (key: string, path: string, json: unknown, { at = 0, token = 'ann-token', headers = {} } = {}) =>
  ask(gateways[at]!.url(), `POST ${path}`, { token, json, headers: { 'idempotency-key': key, ...headers } })
const records = () => mongoose.connection.collection<{ _id: string; outcome: string | null }>('idempotency_keys')

describe.skipIf(!hasNats)('an idempotency key', () => {
  beforeAll(async () => {
    horcrux = await startThings(gateways)
  })
  afterAll(() => horcrux?.stop())
  beforeEach(async () => {
    resetPeople()
    await tellAuthChanged()
    hold.create = hold.grow = Promise.resolve()
    ran.create = ran.keys = 0
  })

  test('gives the same answer again, at any gateway, and does the work once', async () => {
    const body = { name: 'once', size: 2 }
    const first = await post('key-1', '/api/things', body)
    expect(first.status).toBe(201)
    for (const at of [0, 1]) {
      const again = await post('key-1', '/api/things', { size: 2, name: 'once' }, { at })
      expect(again).toMatchObject({ status: 201, body: first.body, headers: { 'idempotency-replayed': 'true' } })
      expect([again.headers['etag'], again.headers['location']]).toEqual([
        first.headers['etag'],
        first.headers['location'],
      ])
    }
    expect(ran.create).toBe(1)
  })

  test('is honoured for PATCH and DELETE too', async () => {
    const made = await post('of-patch', '/api/things', { name: 'patched', size: 2 })
    const path = `/api/things/${String(made.body['id'])}`
    const change = (method: string, key: string, at: number, json?: unknown) =>
      ask(gateways[at]!.url(), `${method} ${path}`, {
        token: 'ann-token',
        headers: { 'idempotency-key': key },
        ...(json !== undefined && { json }),
      })
    const patches = await Promise.all([0, 1].map((at) => change('PATCH', 'patch-1', at, { size: 4 })))
    for (const patch of patches) expect(patch).toMatchObject({ status: 200, body: { size: 4, version: 2 } })
    expect(await change('PATCH', 'patch-1', 0, { size: 5 })).toMatchObject({ status: 422 })
    for (const at of [0, 1]) expect(await change('DELETE', 'delete-1', at)).toMatchObject({ status: 204 })
    expect(await change('DELETE', 'delete-2', 0)).toMatchObject({ status: 404 })
  })

  test('of many requests at once, at both gateways, does the work of each key once', async () => {
    const keys = Array.from({ length: 12 }, () => `many-${randomUUID()}`)
    const asked = keys.flatMap((key) => Array.from({ length: 10 }, (_, at) => ({ key, at: at % 2 })))
    const answers = await Promise.all(
      asked.map(async ({ key, at }) => ({
        key,
        answer: await post(key, '/api/things', { name: key, size: 2 }, { at }),
      })),
    )
    expect(new Set(answers.map(({ answer }) => answer.status))).toEqual(new Set([201]))
    for (const key of keys)
      expect(new Set(answers.filter((one) => one.key === key).map(({ answer }) => answer.text)).size, key).toBe(1)
    expect(ran.create).toBe(keys.length)
  })

  test('that a store which goes away interrupts is a 503, never a 500, and the work is done once after all', async () => {
    const [stop, broken] = [Promise.withResolvers<void>(), [] as number[]]
    hold.create = stop.promise
    const first = post('away', '/api/things', { name: 'away', size: 2 })
    await until(() => ran.create === 1)
    // The driver drops its connections in the middle of the work, as it does when a store fails over.
    const { client } = mongoose.connection as unknown as {
      client: { topology?: { s: { servers: Map<string, Pool> } } }
    }
    for (const { pool } of client.topology!.s.servers.values()) pool.clear({ interruptInUseConnections: true })
    stop.resolve()
    broken.push((await first).status)
    const again = await until(async () => {
      const answer = await post('away', '/api/things', { name: 'away', size: 2 }, { at: 1 })
      broken.push(answer.status)
      return answer.status === 201 && answer
    })
    expect(
      broken.every((status) => [201, 409, 503].includes(status)),
      broken.join(),
    ).toBe(true)
    const { body } = await ask(gateways[0].url(), 'GET /api/things?filter=name:away', { token: 'ann-token' })
    expect((body['data'] as unknown[]).length).toBe(1)
    expect(again.body).toMatchObject({ name: 'away' })
  })

  test('is of one user', async () => {
    await post('key-2', '/api/things', { name: 'mine', size: 2 })
    const other = await post('key-2', '/api/things', { name: 'mine', size: 2 }, { token: 'bob-token' })
    expect(other.status).toBe(403)
    // Nothing came of it, and nothing is kept of it.
    people.set('bob-token', { user: 'bob', rights: [{ path: '/', privileges: ['VmAllocate'] }] })
    await tellAuthChanged()
    const again = await post('key-2', '/api/things', { name: 'otherwise', size: 2 }, { token: 'bob-token' })
    expect(again.status).toBe(201)
  })

  test('with other parameters is refused', async () => {
    await post('key-3', '/api/things', { name: 'this', size: 2 })
    const { status, body } = await post('key-3', '/api/things', { name: 'that', size: 2 })
    expect(status).toBe(422)
    expect(body['violations']).toMatchObject([{ field: 'Idempotency-Key', code: 'key_reused' }])
  })

  test('waits for the first request, which is still at work', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    hold.create = promise
    const first = post('key-4', '/api/things', { name: 'slow', size: 2 })
    await until(() => ran.create === 1)
    const second = post('key-4', '/api/things', { name: 'slow', size: 2 }, { at: 1 })
    resolve()
    const [one, two] = await Promise.all([first, second])
    expect([two.status, two.body, ran.create]).toEqual([201, one.body, 1])
  })

  test('a refusal by the state of things is the same again, one by rights is tried anew', async () => {
    await post('key-5', '/api/things', { id: 'taken', name: 'taken', size: 2 })
    const conflict = await post('key-6', '/api/things', { id: 'taken', name: 'taken', size: 2 })
    const again = await post('key-6', '/api/things', { id: 'taken', name: 'taken', size: 2 })
    expect([conflict.status, again.status, again.body['message']]).toEqual([409, 409, conflict.body['message']])
    expect(again.headers['idempotency-replayed']).toBe('true')
  })

  test('a gateway that dies in between doubles nothing', async () => {
    const body = { name: 'crash', size: 2 }
    const first = await post('key-7', '/api/things', body)
    // As if it had died after the service's answer and before its own: the outcome was not written, the lease is over.
    const { modifiedCount } = await records().updateMany(
      { outcome: { $regex: String(first.body['id']) } },
      { $set: { outcome: null, 'lease.until': '2000-01-01T00:00:00.000Z' } },
    )
    expect(modifiedCount).toBe(1)
    const again = await post('key-7', '/api/things', body, { at: 1 })
    expect(again).toMatchObject({ status: 201, body: first.body })
    expect(again.headers['idempotency-replayed']).toBeUndefined()
  })

  test('a DELETE whose answer was lost is a success when it is repeated, and one of a thing that another removed is not', async () => {
    const remove = (key: string, at: number) =>
      ask(gateways[at]!.url(), 'DELETE /api/things/gone', { token: 'ann-token', headers: { 'idempotency-key': key } })
    await post('key-gone', '/api/things', { id: 'gone', name: 'gone', size: 2 })
    expect(await remove('gone-1', 0)).toMatchObject({ status: 204 })
    await records().updateMany(
      { outcome: { $regex: '"status":204' } },
      { $set: { outcome: null, 'lease.until': '2000-01-01T00:00:00.000Z' } },
    )
    const again = await remove('gone-1', 1)
    expect([again.status, again.headers['idempotency-replayed']]).toEqual([204, undefined])
    expect(await remove('gone-2', 1)).toMatchObject({ status: 404 })
  })

  test('of an operation names the same operation', async () => {
    await post('key-8', '/api/things', { id: 'op', name: 'op', size: 2 })
    const first = await post('key-9', '/api/things/op/grow', { by: 2 })
    const again = await post('key-9', '/api/things/op/grow', { by: 2 }, { headers: { prefer: 'wait=60' } })
    expect(again).toMatchObject({
      status: 200,
      body: { id: first.body['id'], state: 'succeeded', result: { size: 4 } },
    })
  })

  test('secrets lie sealed in the store, and come again', async () => {
    await post('key-10', '/api/things', { id: 'sealed', name: 'sealed', size: 2 })
    const first = await post('key-11', '/api/things/sealed/key', {})
    const again = await post('key-11', '/api/things/sealed/key', {})
    expect([again.body, ran.keys]).toEqual([first.body, 1])
    const kept = JSON.stringify(await records().find({}).toArray())
    expect(kept).not.toContain(String(first.body['key']))
    expect(kept).not.toContain('ann-token')
  })

  test.each(['', 'with space', 'x'.repeat(256)])('that is %j is refused', async (key) => {
    expect(await post(key, '/api/things', { name: 'bad', size: 2 })).toMatchObject({ status: 422 })
  })
})
