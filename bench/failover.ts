import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { operations } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clusterService } from '../services/cluster/service.ts'
import { storageService } from '../services/storage/service.ts'
import { vmService } from '../services/vm/service.ts'
import { startHorcrux } from '../test/lab/product/horcrux.ts'
import { repository } from '../test/lab/repository.ts'
import { until } from '../test/lab/wait.ts'
import { ask } from '../test/lab/clients/http.ts'
import { disturbance, withPool } from '../test/lab/load/outage.ts'
import { type Deployment, startDeployment } from '../test/lab/product/deployment.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const slowMs = 200
const watchedMs = 8000

const question = 'GET /api/storage/pools/main/volumes?limit=5'

/** Asks one thing after the other for a while. @returns when each began and how long it took, in ms */
async function questions({ gateways, token }: Deployment, forMs: number): Promise<{ at: number; ms: number }[]> {
  const begin = performance.now()
  const found: { at: number; ms: number }[] = []
  while (performance.now() - begin < forMs) {
    const at = performance.now() - begin
    const ms = await timed(async () => {
      const { status } = await ask(gateways[0]!.url, question, { token })
      if (status !== 200) throw new Error(`${question}: ${status}`)
    })
    found.push({ at, ms })
  }
  return found
}
const longestOf = (found: { ms: number }[]) => Math.max(...found.map(({ ms }) => ms))

/** A killed replica until no answer is slow any more; a stopped one by its cost to the slowest question. */
async function replicas(): Promise<Row[]> {
  const horcrux = await withPool(await startDeployment({ replicas: 2 }))
  try {
    const part = horcrux.services.find(({ name }) => name === 'storage-1')!
    const usual = await questions(horcrux, 2000)
    await part.kill()
    const afterKill = await questions(horcrux, watchedMs)
    await part.start()
    const slow = afterKill.filter(({ ms }) => ms > slowMs + longestOf(usual)).map(({ at, ms }) => at + ms)
    await questions(horcrux, 2000)
    part.signal('SIGSTOP')
    const afterStop = await questions(horcrux, 5000)
    part.signal('SIGCONT')
    return [
      { what: 'a killed replica until the last slow answer', value: Math.max(0, ...slow), unit: 'ms', below: 6000 },
      {
        what: 'a stopped replica costs the slowest question',
        value: longestOf(afterStop) - longestOf(usual),
        unit: 'ms',
        below: 500,
      },
      { what: 'a question undisturbed, median', value: median(usual.map(({ ms }) => ms)), unit: 'ms' },
    ]
  } finally {
    await horcrux.stop()
  }
}

/** Bus and store away for some seconds: the longest answer meanwhile, and the first success after. */
async function outages(): Promise<Row[]> {
  const horcrux = await withPool(await startDeployment())
  try {
    const rows: Row[] = []
    for (const [name, part, seconds] of [
      ['bus', horcrux.nats, 3],
      ['store', horcrux.store, 10],
    ] as const) {
      const { times } = await disturbance(horcrux, `${name} killed for ${seconds} s`, async () => {
        await part.kill()
        await delay(seconds * 1000)
        await part.start()
      })
      const longest = times.longestMs - times.usualMs
      rows.push(
        { what: `${name} away: the longest answer, over the usual`, value: longest, unit: 'ms', below: 5000 },
        { what: `${name} back: until the first success`, value: times.firstSuccessMs, unit: 'ms', below: 2000 },
      )
    }
    return rows
  } finally {
    await horcrux.stop()
  }
}

/** A process killed in the middle of an operation until another one, after the lease, has ended the operation. */
async function takeover(): Promise<Row> {
  const services = [clusterService, storageService, vmService]
  const horcrux = await startHorcrux({ services, works: false })
  try {
    await horcrux.call(pools, 'create', { id: 'main', type: 'dir' })
    const fault = { kind: 'volumes.create', step: 'creating', when: 'before', does: 'kill', afterMs: 0 }
    const words = ['--pdeathsig', 'KILL', process.execPath, join(repository, 'test/lab/faults/faulty-replica.ts')]
    const env = { ...horcrux.env, FAULT: JSON.stringify(fault) }
    const replica = await localHost().spawn('setpriv', words, { env })
    let said = ''
    replica.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    await until(() => said.includes('working'), { what: 'the replica' })
    const { id } = (await horcrux.call(volumes, 'create', { id: 'main', name: 'held', size: 2 ** 30 })) as {
      id: string
    }
    await replica.exit
    const stop = horcrux.work()
    const ms = await timed(() => horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 }))
    await stop()
    return {
      what: 'a killed process until another one has ended its operation',
      value: ms / 1000,
      unit: 's',
      below: 30,
    }
  } finally {
    await horcrux.stop()
  }
}

/** Time until a lost replica, bus or store has no more effect on clients. */
export const benchFailover = async (): Promise<Row[]> => [...(await replicas()), ...(await outages()), await takeover()]
