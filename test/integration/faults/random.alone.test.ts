import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { hasOwnStore } from '../../lab/product/deployment.ts'
import { amount, isTorture, randomOf, seedOf } from '../../lab/faults/seed.ts'
import { leftovers } from '../../lab/faults/world.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { bugsOf } from '../../lab/load/outage.ts'
import { everything } from '../../lab/load/reconcile.ts'
import { type Client, startClient } from '../../lab/stops/clients.ts'
import { lateEvents } from '../../lab/stops/judge.ts'
import { randomFaults } from '../../lab/stops/random-faults.ts'
import { type Separate, startSeparate } from '../../lab/stops/separate.ts'
import { changeRole, changeVms, changeVolumes } from '../../lab/stops/works.ts'
import { until } from '../../lab/wait.ts'
import { available } from '../../lab/requirements.ts'

const [host] = labHosts
const mayKill = available('own store', hasOwnStore ? [] : ['one that may be killed: MONGODB_URL is set'])
const seed = seedOf('random-faults')
/** `FAULTS=50` does so many. */
const faults = amount({ sample: Number(process.env['FAULTS'] ?? 0), all: Number(process.env['FAULTS'] ?? 2000) })

/** Replicas, bus and store are killed, or stopped for 5 to 25 s, while clients hold the product to its promises. */
describe.skipIf(!host || !mayKill || (!isTorture && faults === 0))('random faults', () => {
  let separate: Separate
  const clients: Client[] = []

  beforeAll(async () => {
    separate = await startSeparate(host!, { replicas: 2 })
  }, 300_000)
  afterAll(() => separate?.stop())

  test('break no promise to a client', { timeout: 36_000_000 }, async () => {
    const random = randomOf(seed)
    const works = { roles: changeRole, volumes: changeVolumes, vms: changeVms }
    for (const [name, work] of Object.entries(works))
      clients.push(startClient(separate, name, randomOf(`${seed}/${name}`), work))
    const counts = await randomFaults(separate, faults, random)
    await Promise.all(clients.map((client) => client.stop()))
    process.stdout.write(
      `  ${faults} faults ${JSON.stringify(counts)}, ${clients.map(({ name, asked }) => `${name} ${asked} changes`).join(', ')}\n`,
    )
    expect(clients.flatMap(({ violations }) => violations)).toEqual([])
  })

  test('leave the state as the clients were told', { timeout: 600_000 }, async () => {
    for (const { model } of clients)
      for (const [line, state] of model) {
        const { status } = await separate.ask(`GET ${line}`)
        expect(status, line).toBe(state === null ? 404 : 200)
      }
    const isClean = async () => Object.values(await leftovers()).every((count) => count === 0)
    await until(isClean, { what: 'no lock, message or event left' })
    const { url } = separate.deployment.gateways[0]!
    const list = (path: string) => everything(url, separate.key, path)
    const { stdout } = await localHost().runChecked('virsh', ['-c', host!.uri, 'list', '--all', '--name'])
    const vms = await list('/api/vms')
    expect(stdout.split('\n').filter(Boolean).toSorted()).toEqual(vms.map(({ name }) => name).toSorted())
    const volumes = await list('/api/storage/pools/images/volumes')
    const ownersOf = new Set(vms.map(({ id }) => `/api/vms/${String(id)}`))
    expect(volumes.filter(({ used_by }) => used_by !== null && !ownersOf.has(String(used_by)))).toEqual([])
    const files = (await readdir(join(host!.dir, 'pool'))).filter((name) => !name.startsWith('.'))
    expect(files.length).toBe(volumes.length)
  })

  test('tell of no operation after its end, keep the audit whole, and log no bug', { timeout: 300_000 }, async () => {
    expect(await lateEvents(separate)).toEqual([])
    const { body } = await separate.ask('GET /api/audit/verify')
    expect(body).toMatchObject({ valid: true, findings: [] })
    expect(bugsOf(separate.deployment)).toEqual([])
  })
})
