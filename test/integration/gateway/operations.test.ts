import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { operations } from '#shared/contracts/core/operations.ts'
import { createGateway } from '../../../services/gateway/service.ts'
import { asker, startThings } from '../../lab/product/gateway-only.ts'
import { hold, people, resetPeople, tellAuthChanged, things } from '../../lab/product/things.ts'
import type { TestHorcrux } from '../../lab/product/horcrux.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { available } from '../../lab/requirements.ts'

const hasNats = available('nats', await missingForNats())
const gateway = createGateway([operations, things])
let horcrux: TestHorcrux

const { ask, asAnn, make } = asker(gateway)

describe.skipIf(!hasNats)('operations through the gateway', () => {
  beforeAll(async () => {
    horcrux = await startThings([gateway])
  })
  afterAll(() => horcrux?.stop())
  beforeEach(async () => {
    resetPeople()
    await tellAuthChanged()
    hold.grow = Promise.resolve()
  })

  test('are accepted, and can be seen where Location says', async () => {
    await make({ id: 'op', name: 'op', size: 2 })
    const { promise, resolve } = Promise.withResolvers<void>()
    hold.grow = promise
    const { status, headers, body } = await asAnn('POST /api/things/op/grow', { json: { by: 2 } })
    expect({ status, location: headers['location'] }).toEqual({
      status: 202,
      location: `/api/operations/${String(body['id'])}`,
    })
    const held = await asAnn('POST /api/things/op/grow', { json: { by: 2 } })
    expect(held).toMatchObject({ status: 409, body: { retryable: true, operation_id: body['id'] } })
    resolve()
    const ended = await asAnn(`GET ${headers['location']}/wait?timeout=20`)
    expect(ended).toMatchObject({ status: 200, body: { state: 'succeeded', result: { size: 4 } } })
  })
  test('of other users are cancelled only with SysModify, and only at the named version', async () => {
    await make({ id: 'long', name: 'long', size: 2 })
    const { promise, resolve } = Promise.withResolvers<void>()
    hold.grow = promise
    const { headers } = await asAnn('POST /api/things/long/grow', { json: { by: 2 } })
    const cancel = `POST ${headers['location']}/cancel`
    people.set('eve-token', { user: 'eve', rights: [{ path: '/', privileges: ['SysAudit'] }] })
    expect(await ask(cancel, { token: 'eve-token' })).toMatchObject({
      status: 403,
      body: { message: "User 'eve' lacks the privilege SysModify on /" },
    })
    const stale = await asAnn(cancel, { headers: { 'if-match': '"999"' } })
    expect(stale).toMatchObject({ status: 412, body: { error: 'PRECONDITION_FAILED' } })
    expect((await asAnn(cancel)).status).toBe(200)
    resolve()
    expect((await asAnn(`GET ${headers['location']}/wait?timeout=20`)).body).toMatchObject({ state: 'cancelled' })
  })
  test('Prefer: wait holds the answer until it has ended', async () => {
    await make({ id: 'wait', name: 'wait', size: 2 })
    const { status, headers, body } = await asAnn('POST /api/things/wait/grow', {
      json: { by: 2 },
      headers: { prefer: 'wait=60' },
    })
    expect({ status, applied: headers['preference-applied'] }).toEqual({ status: 200, applied: 'wait=60' })
    expect(body).toMatchObject({ state: 'succeeded', result: { size: 4 } })
  })
})
