import Fastify from 'fastify'
import { operations } from '#shared/contracts/core/operations.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { within } from '#shared/runtime/request-context.ts'
import { hasHeardAll } from '#shared/db/cache/barrier.ts'
import { now } from '#shared/events/event.ts'
import { createGateway } from '../services/gateway/service.ts'
import { vmRecords } from '../services/vm/model.ts'
import { vmService } from '../services/vm/vms.ts'
import { peopleService, things, thingsService } from '../test/lab/product/things.ts'
import { startHorcrux } from '../test/lab/product/horcrux.ts'
import { plainRecord } from '../test/lab/guests/plain-guest.ts'
import { median, type Row } from './figures.ts'
import { load, type Measured, medianOf } from './load.ts'

const vmOf = (number: number) => ({
  ...plainRecord,
  id: `vm-${String(number).padStart(4, '0')}`,
  name: `machine-${number}`,
  description: 'A machine of the benchmark',
  memory: 2048,
  status: 'running' as const,
  desired_state: 'running' as const,
  tags: ['bench', `rack-${number % 10}`],
  created_at: now(),
  updated_at: now(),
  handle: `uuid-${number}`,
})

const rounds = 3
const seconds = 2

/** Measures in turn, so that all have the same of what else the machine does: medians of each against the first. */
async function ratios([base, ...others]: (() => Promise<Measured>)[]): Promise<number[]> {
  const found: number[][] = others.map(() => [])
  for (let round = 0; round < rounds; round++) {
    const { perSecond } = await base!()
    for (const [index, measure] of others.entries()) found[index]!.push((await measure()).perSecond / perSecond)
  }
  return found.map(median)
}

/** Measures while ten records change each second. */
async function whileChanging<T>(measure: () => Promise<T>): Promise<T> {
  let count = 0
  let writing = Promise.resolve<unknown>(undefined)
  const timer = setInterval(() => {
    const id = `vm-${String(count++ % 1000).padStart(4, '0')}`
    writing = vmRecords.updateWhere({ _id: id }, { set: { description: `Change ${count}` } })
  }, 100)
  return measure().finally(async () => {
    clearInterval(timer)
    await writing
  })
}

/** Lists and single VMs through gateway, NATS and store, beside a bare Fastify that serialises the same. */
export async function benchGateway(): Promise<Row[]> {
  const gateway = createGateway([operations, vms, things])
  const horcrux = await startHorcrux({
    services: [{ name: 'vm', serves: [vmService] }, peopleService, thingsService, gateway],
    config: { port: 0, rateLimit: 0, loginLimit: 0 },
  })
  const headers = { authorization: 'Bearer ann-token' }
  const bare = Fastify()
  try {
    const context = {
      broker: horcrux.broker,
      service: 'vms',
      caller: { kind: 'service', name: 'vms' },
      requestId: '',
    } as const
    await within(context, async () => {
      for (let number = 0; number < 1000; number++) await vmRecords.insert(vmOf(number))
    })
    const page = async (limit: number) =>
      (await (await fetch(`${gateway.url()}/api/vms?limit=${limit}`, { headers })).json()) as object
    const one = (await (await fetch(`${gateway.url()}/api/vms/vm-0500`, { headers })).json()) as object
    for (const limit of [10, 100, 1000]) {
      const list = await page(limit)
      bare.get(`/list-${limit}`, async () => list)
    }
    bare.get('/one', async () => one)
    const at = await bare.listen({ port: 0, host: '127.0.0.1' })

    const rows: Row[] = []
    const atLeast = (what: string, value: number, least: number) =>
      rows.push({ what, value, unit: 'x', atLeast: least })
    const below = (what: string, value: number, most: number) => rows.push({ what, value, unit: 'ms', below: most })
    const wanted = [
      ['1,000 VMs', '/list-1000', '/api/vms?limit=1000', 0.9],
      ['100 VMs', '/list-100', '/api/vms?limit=100', 0.28],
      ['one VM', '/one', '/api/vms/vm-0500', 0.25],
    ] as const
    for (const [what, plain, path, least] of wanted) {
      const ask = () => load(`${gateway.url()}${path}`, { headers, seconds })
      const [unchanged, changing] = await ratios([
        () => load(`${at}${plain}`, { seconds }),
        ask,
        () => within(context, () => whileChanging(ask)),
      ])
      atLeast(`${what}, against bare Fastify`, unchanged!, least)
      atLeast(`${what}, 10 changes a second, against bare Fastify`, changing!, least / 2)
    }
    const [withToken] = await ratios([
      () => load(`${gateway.url()}/api/hello`, { seconds }),
      () => load(`${gateway.url()}/api/hello`, { headers, seconds }),
    ])
    atLeast('with a token, against without', withToken!, 0.75)
    for (const [what, path, ms] of [
      ['list of 10 VMs', '/api/vms?limit=10', 5],
      ['list of 100 VMs', '/api/vms?limit=100', 20],
      ['list of 1,000 VMs', '/api/vms?limit=1000', 100],
      ['one VM', '/api/vms/vm-0500', 2],
    ] as const)
      below(`${what}, median`, await medianOf(`${gateway.url()}${path}`, headers), ms)
    const hundred = await page(100)
    const before = performance.now()
    for (let index = 0; index < 100; index++) JSON.stringify(hundred)
    below('100 VMs to JSON', (performance.now() - before) / 100, 10)
    const query = performance.now()
    for (let index = 0; index < 100; index++) await vmRecords.get('vm-0500')
    below('store query', (performance.now() - query) / 100, 5)
    const word = performance.now()
    for (let index = 0; index < 100; index++) await hasHeardAll()
    rows.push({ what: 'word from the bus', value: (performance.now() - word) / 100, unit: 'ms' })
    return rows
  } finally {
    await bare.close()
    await horcrux.stop()
  }
}
