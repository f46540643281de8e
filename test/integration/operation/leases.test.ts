import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import mongoose from 'mongoose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Operation, operations } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import type { AppError } from '#shared/errors.ts'
import type { HostProcess } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import type { Fault } from '../../lab/faults/faulty-replica.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { repository } from '../../lab/repository.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const GiB = 2 ** 30
/** What is promised: a dead holder keeps nobody waiting for longer. */
const leaseEndsWithinMs = 30_000

/** What the store knows of an operation beside what it shows. */
type Journalled = { _id: string; epoch: number; lease: { holder: string; until: string } | null }
const journal = () => mongoose.connection.collection<Journalled>('operations')

describe.skipIf(!hasNats)('leases, with their usual time', () => {
  let horcrux: TestHorcrux
  const replicas: HostProcess[] = []

  /** Another replica that works on operations; it goes wrong as told. Ready when it works. */
  const startReplica = async (fault: Partial<Fault> = {}) => {
    const env = { ...horcrux.env, FAULT: JSON.stringify(fault) }
    const words = ['--pdeathsig', 'KILL', process.execPath, join(repository, 'test/lab/faults/faulty-replica.ts')]
    const replica = await localHost().spawn('setpriv', words, { env })
    replicas.push(replica)
    const heard: string[] = []
    replica.stdout.on('data', (chunk: Buffer) => heard.push(...chunk.toString().split('\n')))
    await until(() => heard.includes('working'), { what: 'the other replica' })
    return { hasCut: () => until(() => heard.includes('cut'), { what: 'the fault' }) }
  }
  const begin = async (name: string) =>
    (await horcrux.call(volumes, 'create', { id: 'main', name, size: GiB })) as unknown as Operation
  const finished = ({ id }: Operation) => horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })

  beforeAll(async () => {
    horcrux = await startHorcrux({ services: [clusterService, storageService, vmService], works: false })
    await horcrux.call(pools, 'create', { id: 'main', type: 'dir' })
  })
  afterAll(async () => {
    for (const replica of replicas) await replica.kill()
    await horcrux?.stop()
  })

  test('the lease of a killed holder ends by itself; until then the 409 names the user, the reason and the times', async () => {
    const { hasCut } = await startReplica({
      kind: 'volumes.create',
      step: 'creating',
      when: 'before',
      does: 'kill',
      afterMs: 0,
    })
    const operation = await begin('held')
    await hasCut()
    const killedAt = Date.now()
    const stop = horcrux.work()
    const refused = await begin('held').catch((error: unknown) => error as AppError)
    expect(refused).toMatchObject({
      status: 409,
      retryable: true,
      details: {
        operation_id: operation.id,
        user: operation.user,
        reason: 'volumes.create',
        path: expect.stringContaining('held') as string,
      },
    })
    const { since, until: end, user } = (refused as AppError).details as Record<'since' | 'until' | 'user', string>
    expect((refused as AppError).message).toContain(`of ${user} (volumes.create) since ${since}, until ${end}`)
    expect(Date.parse(since)).toBeLessThanOrEqual(killedAt)
    expect(Date.parse(end)).toBeGreaterThan(killedAt)
    expect(Date.parse(end)).toBeLessThanOrEqual(killedAt + leaseEndsWithinMs)
    const ended = await finished(operation)
    expect(ended.state).toBe('succeeded')
    expect(Date.parse(ended.ended_at!), 'nobody else works on it while the lease holds').toBeGreaterThanOrEqual(
      Date.parse(end),
    )
    const changed = (await horcrux.call(volumes, 'delete', { id: 'main', volume: 'held' })) as unknown as Operation
    expect((await finished(changed)).state).toBe('succeeded')
    await stop()
  })

  test('share the work among the replicas of a service, each operation in one pair of hands', async () => {
    await startReplica()
    const stop = horcrux.work()
    const holders = new Set<string>()
    let isOver = false
    const looking = (async () => {
      while (!isOver) {
        for (const { lease } of await journal()
          .find({ 'lease.holder': { $gt: '' } } as never)
          .toArray())
          if (lease) holders.add(lease.holder)
        await delay(2)
      }
    })()
    const begun = await Promise.all(Array.from({ length: 60 }, (_, number) => begin(`shared-${number}`)))
    const ended = await Promise.all(begun.map(finished))
    isOver = true
    await looking
    await stop()
    expect(new Set(ended.map(({ state }) => state))).toEqual(new Set(['succeeded']))
    expect(holders.size, [...holders].join()).toBe(2)
    const journalled = await journal()
      .find({ _id: { $in: begun.map(({ id }) => id) } })
      .toArray()
    expect(new Set(journalled.map(({ epoch }) => epoch)), 'how often each was taken').toEqual(new Set([1]))
  })
})
