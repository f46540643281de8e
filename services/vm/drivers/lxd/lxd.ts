import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { type Engine, engineOf } from '#shared/nodes/lxd/client.ts'
import type { EngineKind } from '#shared/nodes/lxd/engine.ts'
import { followEngine } from '#shared/nodes/lxd/events.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { Definition, Guest, Hypervisor } from '../driver.ts'
import { check, hasCsm, rootPoolOf, serverOf } from './check.ts'
import { changed, type Instance, isOf, seenAs, sizesOf, uuidOf, wantedOf } from './instance.ts'
import { statsOf } from './stats.ts'

type InstanceType = Instance['type']
type Action = 'start' | 'stop' | 'restart' | 'freeze' | 'unfreeze'

const pathOf = (name: string) => `/1.0/instances/${encodeURIComponent(name)}`
/** How long the engine itself waits for a guest that it was asked to shut down. */
const askedForSeconds = 600
/** What an engine keeps itself of an instance; the guest's disks are volumes of Horcrux. */
const rootSize = '64MiB'

const instancesOf = async (engine: Engine, type: InstanceType) =>
  ((await engine.get<Instance[] | null>('/1.0/instances?recursion=1')) ?? []).filter(
    (instance) => instance.type === type,
  )

/** @returns null where there is none */
async function named(engine: Engine, name: string): Promise<Instance | null> {
  try {
    return await engine.get<Instance>(pathOf(name))
  } catch (error) {
    if (error instanceof NotFoundError) return null
    throw error
  }
}

/**
 * LXD or Incus, over its REST API, which is the same as far as it is used here.
 * @param type what kind of instances; the API treats them alike
 */
export function lxd(kind: EngineKind, type: InstanceType = 'virtual-machine'): Hypervisor {
  const connected = new Set<string>()
  const engine = async ({ node }: Guest) => engineOf(await reach(node), kind)

  /** The guest's instance, also under a name that it had before. */
  const find = async (engine: Engine, guest: Guest): Promise<Instance | null> => {
    const there = await named(engine, guest.name)
    if (there && isOf(there, guest)) return there
    return (await instancesOf(engine, type)).find((instance) => isOf(instance, guest)) ?? null
  }

  /** Does something to an instance that is in one of these states; one that is in another, or gone, is fine. */
  const act = async (guest: Guest, action: Action, from: string[], more: object = { force: true }) => {
    const on = await engine(guest)
    const instance = await find(on, guest)
    if (!instance || !from.includes(seenAs(instance).status)) return
    await on.send('PUT', `${pathOf(instance.name)}/state`, { action, timeout: 30, ...more })
  }
  const stop = (guest: Guest) => act(guest, 'stop', ['running', 'paused', 'unknown'])

  const define = async (vm: Definition) => {
    const on = await engine(vm)
    const wanted = wantedOf(vm, { type, hasCsm: hasCsm(await serverOf(on)) })
    const there = await find(on, vm)
    if (there && there.name !== vm.name) await on.send('POST', pathOf(there.name), { name: vm.name })
    if (there) return on.send('PUT', pathOf(vm.name), changed(there, wanted))
    if (await named(on, vm.name))
      throw new ConflictError(`${on.name} has an instance '${vm.name}' already, which is not of Horcrux`)
    const root = { type: 'disk', path: '/', pool: (await rootPoolOf(on)) ?? '', size: rootSize }
    const { config, devices } = wanted
    const made = { name: vm.name, type, source: { type: 'none' }, profiles: [], config }
    await on.send('POST', '/1.0/instances', { ...made, devices: { root, ...devices } })
  }

  return {
    // Engines run virtual machines with KVM only.
    suitable: async () => ({ accel: 'kvm', cpu_model: null, firmware: 'uefi', graphics: [], video: 'none' }),
    check: (reached, wanted) => check(kind, reached, wanted),

    define,
    // What an instance can take while it runs, the engine brings to it with its definition.
    change: async (vm, fields, isRunning) => {
      if (fields.every((field) => field === 'autostart')) await define(vm)
      return isRunning ? fields.filter((field) => field === 'autostart') : fields
    },
    sizes: async (guest) => {
      const instance = await find(await engine(guest), guest)
      const sizes = instance && sizesOf(instance)
      return sizes && { next: sizes, current: sizes }
    },
    runOf: async (guest) => {
      const instance = await find(await engine(guest), guest)
      return instance && seenAs(instance).status !== 'stopped' ? instance.last_used_at : null
    },
    undefine: async (guest) => {
      await stop(guest)
      const on = await engine(guest)
      const instance = await find(on, guest)
      if (instance) await on.send('DELETE', pathOf(instance.name))
    },

    start: async (guest) => {
      const on = await engine(guest)
      if ((await find(on, guest)) === null) throw new NotFoundError(`${on.name} does not know '${guest.name}'`)
      await act(guest, 'start', ['stopped'])
    },
    stop,
    askToStop: async (guest) => {
      const on = await engine(guest)
      const instance = await find(on, guest)
      if (instance && seenAs(instance).status === 'running')
        await on.begin('PUT', `${pathOf(instance.name)}/state`, {
          action: 'stop',
          timeout: askedForSeconds,
          force: false,
        })
    },
    act: {
      reset: (guest) => act(guest, 'restart', ['running']),
      pause: (guest) => act(guest, 'freeze', ['running'], {}),
      resume: (guest) => act(guest, 'unfreeze', ['paused'], {}),
    },

    look: async (guest) => {
      const instance = await find(await engine(guest), guest)
      return instance ? seenAs(instance) : { status: 'stopped', status_reason: null }
    },
    lookAtAll: async (reached) =>
      new Map(
        (await instancesOf(await engineOf(reached, kind), type)).flatMap((instance) => {
          const uuid = uuidOf(instance)
          return uuid === undefined ? [] : [[uuid, seenAs(instance)] as const]
        }),
      ),
    follow: (reached: Reached, heard) => {
      const unfollow = followEngine(reached, kind, async (news) => {
        if (news.kind === 'connected') connected.add(reached.node.id)
        if (news.kind === 'disconnected') connected.delete(reached.node.id)
        if (news.kind !== 'instance') return heard(news)
        const instance = await engineOf(reached, kind)
          .then((on) => named(on, news.name))
          .catch(() => null)
        const domain_uuid = instance && uuidOf(instance)
        // One that is gone cannot say who it was: all are looked at.
        if (domain_uuid) heard({ kind: 'guest', domain_uuid })
        else if (!instance) heard({ kind: 'connected' })
      })
      return () => {
        connected.delete(reached.node.id)
        unfollow()
      }
    },
    isConnected: ({ node }) => connected.has(node.id),

    stats: async (guest) => {
      const on = await engine(guest)
      const instance = await find(on, guest)
      return statsOf(instance && (await on.get(`${pathOf(instance.name)}/state`)))
    },
    serialText: async (guest) => {
      const on = await engine(guest)
      const instance = await find(on, guest)
      return instance ? on.text(`${pathOf(instance.name)}/console`) : ''
    },
  }
}
