import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { type Operation, operations } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { HostProcess } from '#shared/nodes/host/host.ts'
import { allKinds } from '#shared/operation/kinds.ts'
import { enqueue } from '#shared/operation/queue.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { containerService } from '../../../services/container/service.ts'
import { migrationService } from '../../../services/migration/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import type { Fault } from '../../lab/faults/faulty-replica.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { asNode, clear, scenarios } from '../../lab/faults/scenarios.ts'
import { clearMigrations } from '../../lab/faults/migration-scenarios.ts'
import { isTorture, sample, seedOf } from '../../lab/faults/seed.ts'
import { repository } from '../../lab/repository.ts'
import { until } from '../../lab/wait.ts'
import { done } from '../../lab/product/run-operation.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { useEngines } from '../../lab/containers/containers.ts'
import { clearNetworks, networkScenarios, readNetworks } from '../../lab/containers/network-scenarios.ts'
import { clearContainers, containerScenarios, readContainers } from '../../lab/containers/scenarios.ts'
import { leftovers, readWorld, type World } from '../../lab/faults/world.ts'
import { canRun } from '../../lab/policies/namespaces.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const [host, second] = labHosts
const engines = await labEngines()
const hasContainers = engines.engines.includes('docker')
const ofContainers = containerScenarios(engines)
const ofNetworks = networkScenarios(host!)
const hasNetworks = await canRun()
const every = { ...scenarios(second!, host!), ...ofContainers, ...ofNetworks }
/** The kind of operation that a scenario is of; its name unless it says another. */
const kindOf = (scenario: string) => every[scenario]!.kind ?? scenario
/** `KINDS=vms.clone,templates.deploy` takes these only. */
const wanted = process.env['KINDS']?.split(',')
const hasCompose = (await localHost().which('docker-compose')) !== null
const isWanted = (name: string) =>
  (hasContainers || !(name in ofContainers)) &&
  (hasNetworks || !(name in ofNetworks)) &&
  (hasCompose || !kindOf(name).startsWith('stacks.')) &&
  (wanted?.includes(kindOf(name)) ?? true)
const all = Object.fromEntries(Object.entries(every).filter(([name]) => isWanted(name)))
const seed = seedOf('operation-faults')
/** The scenarios of this run. */
const drawn = isTorture ? Object.keys(all) : sample(Object.keys(all), seed, 6)
/** Steps and outcomes of each drawn scenario when nothing disturbs it. */
type Seen = World & { containers: string[]; networks: string[] }
const undisturbed = new Map<string, { steps: string[]; before: Seen; after: Seen; state: string }>()

let horcrux: TestHorcrux
/** Begins and ends this process's own work on operations. */
let workHere: () => () => Promise<void>

beforeAll(async () => {
  horcrux = await startHorcrux({
    services: [clusterService, storageService, vmService, containerService, migrationService],
    works: false,
    config: { leaseSeconds: 1 },
  })
  workHere = horcrux.work
  const stop = workHere()
  await useEngines(horcrux, engines)
  await done(horcrux, nodes, 'register', asNode('hv1', host!))
  await horcrux.call(pools, 'create', { id: 'images', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/pool' })
  for (const name of drawn) {
    await all[name]!.before?.(horcrux)
    const before = await worldNow()
    const { steps, state } = await finished(await begin(name))
    undisturbed.set(name, {
      steps: steps.map(({ name }) => name),
      before,
      after: await worldNow(),
      state,
    })
    await clearAll()
  }
  await stop()
})
afterAll(() => horcrux.stop())

async function worldNow(): Promise<Seen> {
  const found = hasContainers ? await readContainers(horcrux, engines) : { containers: [] }
  return { ...(await readWorld(horcrux, host!)), ...found, ...(await readNetworks(horcrux, host!)) }
}

async function clearAll(): Promise<void> {
  await clearMigrations(horcrux)
  await clear(horcrux)
  await clearNetworks(horcrux)
  await clearContainers(horcrux)
}

async function begin(scenario: string): Promise<Operation> {
  const [service, action] = kindOf(scenario).split('.') as [string, string]
  // The kinds are the contracts' own; here they are gone through by name.
  return (await horcrux.call(
    { name: service, actions: {} } as never,
    action as never,
    all[scenario]!.params,
  )) as Operation
}

const finished = ({ id }: Operation) => horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })

/** A faulty replica; `wake` lets a stopped one go on, until it has noticed that its work is not its own any more. */
type Replica = { process: HostProcess; hasCut: Promise<void>; wake: () => Promise<void> }

/** A replica that goes wrong at one place. It is the only one that works, until it has gone wrong. */
async function faulty(fault: Fault): Promise<Replica> {
  const env = { ...horcrux.env, FAULT: JSON.stringify(fault), HORCRUX_LEASE_SECONDS: '1' }
  const words = ['--pdeathsig', 'KILL', process.execPath, join(repository, 'test/lab/faults/faulty-replica.ts')]
  const replica = await localHost().spawn('setpriv', words, { env })
  const heard: string[] = []
  replica.stdout.on('data', (chunk: Buffer) => heard.push(...chunk.toString().split('\n')))
  await until(() => heard.includes('working'), { what: 'the faulty replica' })
  const hasCut = until(() => heard.includes('cut'), { what: 'the fault' }).then(() => undefined)
  hasCut.catch(() => undefined)
  const wake = async () => {
    process.kill(Number(heard.find((line) => line.startsWith('pid '))?.slice(4)), 'SIGCONT')
    await until(() => heard.includes('let go'), { what: 'the stopped replica letting go' })
  }
  return { process: replica, hasCut, wake }
}

test('every kind of operation has its scenario in the matrix', () => {
  expect([...allKinds().keys()].toSorted()).toEqual([...new Set(Object.keys(every).map(kindOf))].toSorted())
})

type Case = Fault & { scenario: string; name: string }
const cases = (scenario: string): Case[] =>
  undisturbed.get(scenario)!.steps.flatMap((step) => {
    const at = (does: Fault['does'], when: Fault['when'], afterMs = 0) => ({
      scenario,
      kind: kindOf(scenario),
      step,
      does,
      when,
      afterMs,
      name: `${does} ${when} ${step}`,
    })
    return [
      at('fail', 'before'),
      at('fail', 'after'),
      at('kill', 'before'),
      at('kill', 'during', 15),
      at('kill', 'after'),
      at('kill', 'recorded'),
      at('stop', 'before'),
      at('stop', 'after'),
    ]
  })

/** The world of the undisturbed end, or that of the beginning; never one in between. */
async function expectWhole(scenario: string, ended: Operation, what: string): Promise<void> {
  const { before, after } = undisturbed.get(scenario)!
  expect(ended.ended_at, `${what} goes on: ${JSON.stringify(ended.steps)}`).not.toBeNull()
  expect(ended.state, `${what}: ${JSON.stringify(ended.error)}`).not.toBe('needs_attention')
  const world = await worldNow()
  const mayBeDone = ended.state === 'succeeded' || ended.state === undisturbed.get(scenario)!.state
  const isDone = mayBeDone && differences(world, after).length === 0
  const wrong = isDone ? '' : differences(world, before).join('; ')
  expect(wrong, `${what} ended ${ended.state}: ${wrong}`).toBe('')
  if (ended.state === 'succeeded') expect(world, what).toEqual(after)
  await until(async () => Object.values(await leftovers()).every((count) => count === 0), {
    what: `nothing left after ${what}`,
    timeoutMs: 120_000,
  })
}

/** The parts in which a world differs from the expected one. */
const differences = (found: Seen, expected: Seen): string[] =>
  Object.entries(expected)
    .map(([part, of]) => ({ part, of, is: found[part as keyof Seen] }))
    .filter(({ of, is }) => !isDeepStrictEqual(of, is))
    .map(({ part, of, is }) => `${part}: ${JSON.stringify(is)} and not ${JSON.stringify(of)}`)

/** Tries each of many, whatever becomes of the others, and fails with all that failed. */
async function tryEach<T>(many: T[], attempt: (one: T) => Promise<void>): Promise<void> {
  const failures: string[] = []
  for (const one of many)
    await attempt(one).catch(({ message }: Error) => {
      process.stdout.write(`  ${message}\n`)
      failures.push(message)
    })
  expect(failures).toEqual([])
}

async function disturb({ name, scenario, ...fault }: Case): Promise<void> {
  const what = `${scenario}: ${name}`
  const stopSetUp = workHere()
  await all[scenario]!.before?.(horcrux)
  await stopSetUp()
  const replica = await faulty(fault)
  const operation = await begin(scenario)
  await replica.hasCut
  const stop = workHere()
  try {
    const ended = await finished(operation)
    // A stopped replica wakes up when all is over: whatever it still does must be refused.
    if (fault.does === 'stop') await replica.wake()
    await expectWhole(scenario, ended, what)
  } catch (error) {
    // Clearing up may fail for the same reason, and would hide it.
    process.stdout.write(`  ${what}: ${(error as Error).message}\n`)
    throw error
  } finally {
    await replica.process.kill()
    await clearAll()
    await stop()
  }
}

test('operations end complete or undone after a fault of the process that works on them', async () => {
  const everything = drawn.flatMap(cases)
  const ways = Object.values(Object.groupBy(everything, ({ does, when }) => `${does} ${when}`))
  // Each way of going wrong has its place in a sample.
  const chosen = isTorture
    ? sample(everything, seed, everything.length)
    : ways.flatMap((those = []) => sample(those, seed, 1))
  await tryEach(chosen, async (one) => {
    await disturb(one)
    process.stdout.write(`  ${one.scenario}: ${one.name}: whole\n`)
  })
}, 3_600_000)

test('operations are cancelled whole at each of their steps', async () => {
  const places = [...undisturbed].flatMap(([name, { steps }]) => steps.map((step) => ({ name, step })))
  const stop = workHere()
  await tryEach(sample(places, seed, 5), async ({ name, step }) => {
    await clearAll()
    await all[name]!.before?.(horcrux)
    const operation = await begin(name)
    const isThere = async () => {
      const { stage, ended_at } = await horcrux.call(operations, 'get', { id: operation.id })
      return stage === step || ended_at !== null
    }
    await until(isThere, { what: step, intervalMs: 2 })
    await horcrux.call(operations, 'cancel', { id: operation.id }).catch(() => undefined)
    await expectWhole(name, await finished(operation), `${name} cancelled at ${step}`)
  })
  await clearAll()
  await stop()
}, 1_800_000)

test('an operation whose message is delivered several times is done once', async () => {
  const stop = workHere()
  await tryEach(sample(drawn, seed, 3), async (name) => {
    await clearAll()
    await all[name]!.before?.(horcrux)
    const operation = await begin(name)
    for (const epoch of [91, 92, 93]) enqueue({ id: operation.id, service: kindOf(name).split('.')[0]!, epoch })
    const ended = await finished(operation)
    expect(ended.state).toBe(undisturbed.get(name)!.state)
    await expectWhole(name, ended, `${name} delivered again`)
  })
  await clearAll()
  await stop()
}, 600_000)
