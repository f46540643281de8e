import { hash } from 'node:crypto'
import { Type } from 'typebox'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { recordAudit } from '#shared/audit/audit.ts'
import { contract } from '#shared/contract/contract.ts'
import { audit } from '#shared/contracts/core/audit.ts'
import { Done, strict, Version } from '#shared/contracts/common.ts'
import { type Operation, operations } from '#shared/contracts/core/operations.ts'
import { collection } from '#shared/db/collection.ts'
import { ConflictError } from '#shared/errors.ts'
import { idOfSeed } from '#shared/ids.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import { auditService } from '../../../services/audit/service.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { until } from '../../lab/wait.ts'
import { work } from '../../lab/product/run-operation.ts'

/** A resource with a plain change and an operation, whose work the tests set. */
const Lamp = strict({ id: Type.String(), colour: Type.String(), version: Version })
const common = { can: 'SysModify on /api/lamps/{id}', audit: 'config_changed' } as const
const params = strict({ id: Type.String(), colour: Type.String() })
const lamps = contract('lamps', {
  make: { ...common, does: 'Make a lamp', rest: 'POST /lamps/{id}', params, result: Lamp },
  paint: { ...common, does: 'Paint a lamp', rest: 'PUT /lamps/{id}', params, result: Lamp },
  rework: { ...common, does: 'Rework a lamp', rest: 'POST /lamps/{id}/rework', operation: true, params, result: Done },
})
const records = collection('lamps', Lamp, { kind: 'Lamp' })

let rework: (op: Op, colour: string) => Promise<unknown>
const lampService = implement(lamps, {
  make: ({ id, colour }) => records.insert({ id, colour }),
  paint: ({ id, colour }) => records.change(id, () => ({ set: { colour } })),
  rework: operation({
    accept: async (given: { id: string; colour: string }, { hold }) => {
      await hold(`/api/lamps/${given.id}`)
      await records.requireForChange(given.id)
      return given
    },
    run: async (op, { colour }) => {
      await rework(op, colour)
      return null
    },
  }),
})
const painting = (op: Op, id: string, colour: string, before: string) =>
  op.step('painting', () => records.updateWhere({ _id: id }, { set: { colour } }), {
    undo: () => records.updateWhere({ _id: id }, { set: { colour: before } }),
  })

let horcrux: TestHorcrux
beforeAll(async () => {
  const services = [auditService, { name: 'lamps', serves: [lampService] }]
  horcrux = await startHorcrux({ services, works: false, config: { leaseSeconds: 1 } })
})
afterAll(() => horcrux.stop())

const made = (id: string) => horcrux.call(lamps, 'make', { id, colour: 'red' })
const onRecord = async (id: string) =>
  (await horcrux.call(audit, 'list', { resource: `/api/lamps/${id}`, order: 'asc' })).data
const hashNow = async (id: string) => {
  const { colour, version } = (await records.get(id))!
  return hash('sha256', JSON.stringify({ colour, id, version }), 'hex')
}
const outcomes = (all: { result: string }[]) => all.map(({ result }) => result)

test('a change begins where the one before it ended, and both say so', async () => {
  await made('plain')
  await horcrux.call(lamps, 'paint', { id: 'plain', colour: 'green' })
  await horcrux.call(lamps, 'paint', { id: 'plain', colour: 'blue' })
  const [first, second, third] = await onRecord('plain')
  expect(first).toMatchObject({ before_hash: null, after_hash: second!.before_hash })
  expect(second!.after_hash).toBe(third!.before_hash)
  expect(third!.after_hash).toBe(await hashNow('plain'))
})

test('an operation has the state before it on both its records, and the state it has left', async () => {
  await made('done')
  const before = await hashNow('done')
  rework = (op, colour) => painting(op, 'done', colour, 'red')
  const stop = horcrux.work()
  expect(await work(horcrux, lamps, 'rework', { id: 'done', colour: 'green' })).toMatchObject({ state: 'succeeded' })
  await stop()
  const [, accepted, ended] = await onRecord('done')
  expect(accepted).toMatchObject({ result: 'accepted', before_hash: before, after_hash: before })
  expect(ended).toMatchObject({ result: 'success', before_hash: before, after_hash: await hashNow('done') })
  expect(ended!.after_hash).not.toBe(before)
})

test('a failed and a cancelled operation are recorded as such, with the state after the undo', async () => {
  const stop = horcrux.work()
  await made('failed')
  rework = async (op, colour) => {
    await painting(op, 'failed', colour, 'red')
    throw new ConflictError('the brush broke')
  }
  expect(await work(horcrux, lamps, 'rework', { id: 'failed', colour: 'green' })).toMatchObject({ state: 'failed' })
  const [, , failed] = await onRecord('failed')
  expect(failed).toMatchObject({ result: 'failure', message: 'the brush broke', after_hash: await hashNow('failed') })

  await made('cancelled')
  rework = async (op, colour) => {
    await painting(op, 'cancelled', colour, 'red')
    await op.step('drying', async () => {
      await new Promise((resolve) => op.signal.addEventListener('abort', resolve))
      op.signal.throwIfAborted()
    })
  }
  // An operation is answered as one.
  const { id } = (await horcrux.call(lamps, 'rework', { id: 'cancelled', colour: 'green' })) as unknown as Operation
  await until(async () => (await horcrux.call(operations, 'get', { id })).stage === 'drying', { what: 'drying' })
  await horcrux.call(operations, 'cancel', { id })
  expect(await horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })).toMatchObject({
    state: 'cancelled',
  })
  await stop()
  const all = await onRecord('cancelled')
  expect(outcomes(all)).toEqual(['success', 'accepted', 'failure'])
  expect(all[2]).toMatchObject({ message: 'Cancelled', operation_id: id, after_hash: await hashNow('cancelled') })
})

test('changes made before another process took over are in the hashes of the final record', async () => {
  await made('moved')
  const before = await hashNow('moved')
  let isSecond = false
  rework = async (op, colour) => {
    await painting(op, 'moved', colour, 'red')
    if (!isSecond) await new Promise((resolve) => op.signal.addEventListener('abort', resolve))
  }
  const stop = horcrux.work()
  const { id } = (await horcrux.call(lamps, 'rework', { id: 'moved', colour: 'green' })) as unknown as Operation
  const painted = async () => (await horcrux.call(operations, 'get', { id })).steps[0]?.state === 'done'
  await until(painted, { what: 'the first step' })
  await stop()
  isSecond = true
  const stopAgain = horcrux.work()
  await horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
  await stopAgain()
  const all = await onRecord('moved')
  expect(outcomes(all)).toEqual(['success', 'accepted', 'success'])
  expect(all[2]).toMatchObject({ before_hash: before, after_hash: await hashNow('moved') })
})

test('an end that is recorded once more, because its process died behind it, is one record', async () => {
  const [, accepted, ended] = await onRecord('done')
  for (const [id, of] of [
    [idOfSeed(ended!.operation_id!, 'end'), ended!],
    [idOfSeed(ended!.operation_id!, 'accepted'), accepted!],
  ] as const) {
    expect(of.id).toBe(id)
    const { kind, action, result, request_id, operation_id } = of
    const caller = { kind: 'service', name: 'lamps' } as const
    await recordAudit({ id, caller, kind, path: '/api/lamps/done', action, result, request_id, operation_id })
  }
  await recordAudit({
    caller: { kind: 'service', name: 'lamps' },
    kind: 'config_changed',
    path: '/api/lamps/other',
    action: 'lamps.paint',
    result: 'success',
    request_id: 'r',
  })
  expect(await onRecord('done')).toHaveLength(3)
  expect(await onRecord('other')).toHaveLength(1)
  expect(await horcrux.call(audit, 'verify', {})).toMatchObject({ valid: true })
})
