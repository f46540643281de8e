import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { memberNames } from '#shared/bus/identity/service-permissions.ts'
import type { Operation } from '#shared/contracts/core/operations.ts'
import { doubledOnRecord, lateEvents } from '../../lab/stops/judge.ts'
import { clear, scenarios } from '../../lab/faults/scenarios.ts'
import { isTorture, sample, seedOf } from '../../lab/faults/seed.ts'
import { type Separate, startSeparate } from '../../lab/stops/separate.ts'
import { changeWhileStopped, prepare } from '../../lab/stops/changes.ts'
import { allPlainChanges, plainChanges, withoutLaterChange } from '../../lab/stops/plain-changes.ts'
import { leaseSeconds, nameOf, type StopCase, stopCases, stopMs } from '../../lab/stops/cases.ts'
import { beginAs, endOf, runWithStop } from '../../lab/stops/operations.ts'
import { leftovers, readWorld, type World } from '../../lab/faults/world.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { bugsOf } from '../../lab/load/outage.ts'
import { until } from '../../lab/wait.ts'

const [host, second] = labHosts
const every = host ? scenarios(second!, host) : {}
const wanted = process.env['KINDS']?.split(',')
const kindOf = (scenario: string) => every[scenario]!.kind ?? scenario
const all = Object.keys(every).filter((name) => wanted?.includes(kindOf(name)) ?? true)
const seed = seedOf('stops')
const drawn = sample(all, seed, 3)
/** Kinds that are done once without a fault: all of them take minutes. */
const undisturbedOnes = isTorture ? all : [...new Set([...drawn, ...sample(all, seed, 4)])]
/** Stops in a sample run. */
const sampled = 4

test('every plain change of these contracts is in the matrix, or the reason why not', () => {
  const known = [...Object.keys(plainChanges), ...Object.keys(withoutLaterChange)]
  expect(known.toSorted()).toEqual(allPlainChanges().toSorted())
})

/** A guest without an operating system hears no request to shut down. */
const expectedState = (scenario: string) => (scenario === 'vms.shutdown' ? 'failed' : 'succeeded')

/** A process of any service, stopped with calls on their way, and continued. */
describe.skipIf(!host)('two replicas of every service, of which some are stopped for a while', () => {
  let separate: Separate
  const undisturbed = new Map<string, { steps: string[]; before: World; after: World; state: string }>()

  beforeAll(async () => {
    await mkdir(host!.dir, { recursive: true })
    await writeFile(join(host!.dir, 'tools.iso'), Buffer.alloc(65_536))
    separate = await startSeparate(host!, { replicas: 2, leaseSeconds })
  }, 600_000)
  afterAll(async () => {
    await separate?.stop()
    await rm(join(host!.dir, 'tools.iso'), { force: true })
  })

  test('do kinds of operations, with an identity for each service', { timeout: 600_000 }, async () => {
    for (const name of undisturbedOnes) {
      await every[name]!.before?.(separate)
      // Read only for those that are disturbed afterwards: it takes as long as the operation.
      const look = () => (drawn.includes(name) ? readWorld(separate, host!) : undefined)
      const before = await look()
      const { steps, state, error } = await endOf(separate, await beginAs(separate, kindOf(name), every[name]!.params))
      expect([name, state, state === expectedState(name) ? null : error]).toEqual([name, expectedState(name), null])
      const after = await look()
      if (before && after) undisturbed.set(name, { steps: steps.map((step) => step.name), before, after, state })
      await clear(separate)
    }
  })

  /** The world of the undisturbed end, or that of the beginning; never one in between. */
  async function expectWhole(scenario: string, ended: Operation, what: string): Promise<void> {
    const { before, after, state } = undisturbed.get(scenario)!
    expect(ended.ended_at, `${what} goes on: ${JSON.stringify(ended.steps)}`).not.toBeNull()
    expect(ended.state, `${what}: ${JSON.stringify(ended.error)}`).not.toBe('needs_attention')
    const isDone = ended.state === 'succeeded'
    const world = await until(() => readWorld(separate, host!), { what: 'all services to answer' })
    expect(
      isDone ? [after] : ended.state === state ? [after, before] : [before],
      `${what} ended ${ended.state}`,
    ).toContainEqual(world)
    const isClean = async () => Object.values(await leftovers()).every((count) => count === 0)
    await until(isClean, { what: `nothing left after ${what}` })
  }

  /** Once accepted and once ended, whatever was repeated. */
  async function expectOneRecord({ id, state }: Operation, what: string): Promise<void> {
    const look = async () => {
      const { body } = await separate.ask(`GET /api/audit/events?operation_id=${id}&limit=100`)
      const results = (body['data'] as { result: string }[]).map(({ result }) => result)
      return results.length >= 2 && results
    }
    const results = await until(look, { what: `the audit records of ${what}` })
    const end = state === 'succeeded' ? 'success' : 'failure'
    expect(results.toSorted(), what).toEqual(['accepted', end].toSorted())
  }

  async function disturb(one: StopCase): Promise<void> {
    const what = nameOf(one)
    try {
      await every[one.scenario]!.before?.(separate)
      const { ended, hasStopped } = await runWithStop(separate, one, every[one.scenario]!.params)
      await expectWhole(one.scenario, ended, what)
      await expectOneRecord(ended, what)
      process.stdout.write(`  ${what}: ${hasStopped ? 'whole' : 'came not to the place, whole'}\n`)
    } catch (error) {
      process.stdout.write(`  ${what}: ${(error as Error).message}\n`)
      throw error
    } finally {
      await until(async () => clear(separate).then(() => true), { what: `clearing up after ${what}` })
    }
  }

  test('end each operation complete or undone', { timeout: 36_000_000 }, async () => {
    const cases = drawn.flatMap((name) => stopCases(name, kindOf(name), undisturbed.get(name)!.steps))
    const ways = Object.values(Object.groupBy(cases, ({ victim, who }) => `${victim} ${who}`))
    const chosen = isTorture
      ? sample(cases, seed, cases.length)
      : sample(
          ways.flatMap((those = []) => sample(those, seed, 1)),
          seed,
          sampled,
        )
    const failures: string[] = []
    for (const one of chosen) await disturb(one).catch(({ message }: Error) => failures.push(message))
    expect(failures).toEqual([])
  })

  test('undo and double no plain change', { timeout: 3_600_000 }, async () => {
    const since = new Date().toISOString()
    const ways = memberNames.flatMap((victim) =>
      (['one', 'all'] as const).flatMap((who) => Object.values(stopMs).map((forMs) => ({ victim, who, forMs }))),
    )
    const wrong: string[] = []
    for (const way of sample(ways, seed, 2)) {
      const { wishes, undone } = await changeWhileStopped(
        separate,
        await prepare(separate, Object.keys(plainChanges), second!),
        way,
      )
      const what = `${way.victim} (${way.who}) stopped for ${way.forMs} ms`
      const refused = wishes.filter(({ status }) => status < 200 || status >= 300)
      wrong.push(...[...undone, ...refused.map((one) => JSON.stringify(one))].map((text) => `${what}: ${text}`))
      process.stdout.write(`  ${what}: ${wishes.length} changes, ${undone.length} undone, ${refused.length} refused\n`)
    }
    expect(wrong).toEqual([])
    expect(await doubledOnRecord(separate, since)).toEqual([])
  })

  test('tell of no operation after its end, keep the audit whole, and log no bug', { timeout: 300_000 }, async () => {
    expect(await lateEvents(separate)).toEqual([])
    const { body } = await separate.ask('GET /api/audit/verify')
    expect(body).toMatchObject({ valid: true, findings: [] })
    expect(bugsOf(separate.deployment)).toEqual([])
  })
})
