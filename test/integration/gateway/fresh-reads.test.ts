import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asService } from '#shared/access/access.ts'
import { bus } from '#shared/bus/bus.ts'
import { setConfig } from '#shared/config/config.ts'
import type { Vm, vms } from '#shared/contracts/vm/vms.ts'
import { within } from '#shared/runtime/request-context.ts'
import { wholeName } from '#shared/bus/identity/service-permissions.ts'
import { type Running, startServices } from '#shared/service/start.ts'
import { vmRecords } from '../../../services/vm/model.ts'
import { type Deployment, startDeployment, wholeKey } from '../../lab/product/deployment.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { plainRecord } from '../../lab/guests/plain-guest.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const caller = asService('test')
const ids = ['one', 'three', 'two']

const vmOf = (id: string) => ({ ...plainRecord, id, name: id, handle: `uuid-of-${id}` })

describe.skipIf(!hasNats)('a change that was answered', () => {
  let horcrux: Deployment
  let here: Running

  /** The processes that serve VMs; one that was away is known again when the bus is back. */
  const replicas = () =>
    (here.broker.registry.getNodeList({ onlyAvailable: true, withServices: false }) as { id: string }[])
      .map(({ id }) => id)
      .filter((id) => id.startsWith('vm.'))
  const ask = async <T>(nodeID: string, action: keyof typeof vms.actions, params: object): Promise<T> =>
    // The contract's own type of the result.
    (await here.broker.call(`vms.${action}`, params, { nodeID, timeout: 3000, meta: { caller } })) as T

  /** Two who may write: this process, as a replica would, and one of the others when it is asked to. */
  const writers = {
    here: (id: string, description: string) =>
      within({ broker: here.broker, service: 'vms', caller, requestId: 'test' }, () =>
        vmRecords.updateWhere({ _id: id }, { set: { description } }),
      ),
    there: (id: string, description: string, nodeID: string) => ask<Vm>(nodeID, 'update', { id, description }),
  }

  beforeAll(async () => {
    horcrux = await startDeployment({ replicas: 2 })
    const { NATS_URL: natsUrl, MONGODB_URL: mongodbUrl } = horcrux.env
    const natsNkey = await wholeKey(horcrux.dir)
    setConfig({ dataDir: horcrux.dir, logLevel: 'silent', natsUrl: natsUrl!, natsNkey, mongodbUrl: mongodbUrl! })
    here = await startServices(wholeName, [], { works: false })
    await until(() => replicas().length === 2, { what: 'two replicas of vm' })
    for (const id of ids) await vmRecords.insert(vmOf(id))
  })
  afterAll(async () => {
    await here?.stop()
    await horcrux?.stop()
  })

  const nothingYet = () => ({ stale: [] as string[], writes: 0, there: 0, reads: 0, refused: 0 })

  /** Writes and reads in turn until told to stop, and counts. `stale`: records read that were older than an answered change. */
  async function writeAndRead(signal: AbortSignal, found: ReturnType<typeof nothingYet>) {
    const latest = new Map<string, Set<string>>()
    const check = (how: string, { id, description }: Vm) => {
      found.reads++
      const right = latest.get(id)
      if (right && !right.has(description))
        found.stale.push(`${how} ${id}: ${description}, not ${[...right].join('/')}`)
    }
    for (let round = 0; !signal.aborted; round++) {
      const id = ids[round % ids.length]!
      const nodes = replicas()
      const value = `round ${round}`
      try {
        const isHere = nodes.length === 0 || round % 2 === 0
        await (isHere ? writers.here(id, value) : writers.there(id, value, nodes[(round >> 1) % nodes.length]!))
        if (!isHere) found.there++
        latest.set(id, new Set([value]))
        found.writes++
      } catch {
        // Nobody knows whether it was written.
        latest.get(id)?.add(value)
        found.refused++
      }
      await Promise.all(
        nodes.map(async (node) => {
          try {
            const [{ data }, one] = await Promise.all([
              ask<{ data: Vm[] }>(node, 'list', { limit: 10 }),
              ask<Vm>(node, 'get', { id }),
            ])
            for (const vm of data) check(`list of ${node}`, vm)
            check(`get of ${node}`, one)
          } catch {
            found.refused++
          }
        }),
      )
      if (found.refused > 0 && nodes.length === 0) await delay(20)
    }
  }

  test('is in every answer of every replica, also after the bus was away', async () => {
    const stop = new AbortController()
    const found = nothingYet()
    const reading = writeAndRead(stop.signal, found)
    const readFromCaches = async () => {
      // A process caches nothing until its bus has been there for 2 s.
      await delay(2500)
      const wanted = { writes: found.writes + 30, there: found.there + 10 }
      await until(() => found.writes >= wanted.writes && found.there >= wanted.there, { what: 'more changes' })
    }
    for (const awayMs of [300, 1500]) {
      await readFromCaches()
      await horcrux.nats.kill()
      await delay(awayMs)
      await horcrux.nats.start()
    }
    await readFromCaches()
    stop.abort()
    await reading
    process.stdout.write(
      `${found.writes} changes, ${found.there} of them by replicas, ${found.reads} records read, ${found.refused} refused\n`,
    )
    expect(found.stale).toEqual([])
    expect(found.reads).toBeGreaterThan(200)
  })

  test('made by a process that dies before it has told of it is seen all the same', async () => {
    await until(() => replicas().length === 2, { what: 'two replicas of vm' })
    const [node] = replicas()
    await ask(node!, 'list', { limit: 10 })
    // What a writer has said when it is killed right after its write: that it begins.
    bus().nats.publish('horcrux.changing.vms', 'a-dead-one\ntwo')
    await bus().nats.flush()
    await vmRecords.model.updateOne({ _id: 'two' } as never, { $set: { description: 'of the dead' } } as never)
    for (const replica of replicas())
      expect(await ask<Vm>(replica, 'get', { id: 'two' })).toMatchObject({ description: 'of the dead' })
  })
})
