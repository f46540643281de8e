import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import { type LxdKind, lxdOf } from '#shared/nodes/lxd/engine.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { Hypervisor } from '../driver.ts'
import type { Definition, Guest } from '../guest.ts'
import { check, hasCsm, rootPoolOf, serverOf } from './check.ts'
import { changed, handleIn, type Instance, isOf, sizesOf, statusOf, wantedOf } from './instance.ts'
import { naming } from './naming.ts'
import { statsOf } from './stats.ts'

type InstanceType = Instance['type']
type Action = 'start' | 'stop' | 'restart' | 'freeze' | 'unfreeze'

const instancePath = (name: string) => `/1.0/instances/${encodeURIComponent(name)}`
/** The engine's own time limit for a guest that it asks to shut down. */
const askedForSeconds = 600
/** The size of the root disk that an engine insists on; the guest's disks are volumes of Horcrux. */
const rootSize = '64MiB'

const instancesOf = async (api: Api, type: InstanceType) =>
  ((await api.get<Instance[] | null>('/1.0/instances?recursion=1')) ?? []).filter((instance) => instance.type === type)

/** @returns null where there is none */
async function named(api: Api, name: string): Promise<Instance | null> {
  try {
    return await api.get<Instance>(instancePath(name))
  } catch (error) {
    if (error instanceof NotFoundError) return null
    throw error
  }
}

/**
 * LXD or Incus, over its REST API, which is the same as far as it is used here.
 * @param type the type of instances; the API treats them alike
 */
export function lxd(kind: LxdKind, type: InstanceType = 'virtual-machine'): Hypervisor {
  const engineOf = (reached: Reached) => lxdOf(reached, kind)
  const apiAt = async ({ node }: Guest) => engineOf(await reach(node)).api()

  /** The guest's instance, also under a name that it had before. */
  const find = async (api: Api, guest: Guest): Promise<Instance | null> => {
    const there = await named(api, guest.name)
    if (there && isOf(there, guest)) return there
    return (await instancesOf(api, type)).find((instance) => isOf(instance, guest)) ?? null
  }

  /** Does something to an instance that is in one of these states; one that is in another, or gone, is fine. */
  const act = async (guest: Guest, action: Action, from: string[], more: object = { force: true }) => {
    const api = await apiAt(guest)
    const instance = await find(api, guest)
    if (!instance || !from.includes(statusOf(instance).status)) return
    await api.send('PUT', `${instancePath(instance.name)}/state`, { action, timeout: 30, ...more })
  }
  const stop = (guest: Guest) => act(guest, 'stop', ['running', 'paused', 'unknown'])

  const define = async (vm: Definition) => {
    const api = await apiAt(vm)
    const wanted = wantedOf(vm, { type, hasCsm: hasCsm(await serverOf(api)) })
    const there = await find(api, vm)
    if (there && there.name !== vm.name) await api.send('POST', instancePath(there.name), { name: vm.name })
    if (there) return api.send('PUT', instancePath(vm.name), changed(there, wanted))
    if (await named(api, vm.name))
      throw new ConflictError(`${api.name} has an instance '${vm.name}' already, which is not of Horcrux`)
    const root = { type: 'disk', path: '/', pool: (await rootPoolOf(api)) ?? '', size: rootSize }
    const { config, devices } = wanted
    const made = { name: vm.name, type, source: { type: 'none' }, profiles: [], config }
    await api.send('POST', '/1.0/instances', { ...made, devices: { root, ...devices } })
  }

  return {
    naming,
    engineOf,

    // Engines run virtual machines with KVM only.
    defaults: async () => ({ accel: 'kvm', cpu_model: null, firmware: 'uefi', graphics: [], video: 'none' }),
    check: (reached, wanted) => check(kind, engineOf(reached), wanted),
    define,
    undefine: async (guest) => {
      await stop(guest)
      const api = await apiAt(guest)
      const instance = await find(api, guest)
      if (instance) await api.send('DELETE', instancePath(instance.name))
    },
    start: async (guest) => {
      const api = await apiAt(guest)
      if ((await find(api, guest)) === null) throw new NotFoundError(`${api.name} does not know '${guest.name}'`)
      await act(guest, 'start', ['stopped'])
    },
    stop,
    shutdown: async (guest) => {
      const api = await apiAt(guest)
      const instance = await find(api, guest)
      if (instance && statusOf(instance).status === 'running')
        await api.begin('PUT', `${instancePath(instance.name)}/state`, {
          action: 'stop',
          timeout: askedForSeconds,
          force: false,
        })
    },
    status: async (guest) => {
      const instance = await find(await apiAt(guest), guest)
      return instance ? statusOf(instance) : { status: 'stopped', status_reason: null }
    },
    statuses: async (reached) =>
      new Map(
        (await instancesOf(await engineOf(reached).api(), type)).flatMap((instance) => {
          const handle = handleIn(instance)
          return handle === undefined ? [] : [[handle, statusOf(instance)] as const]
        }),
      ),
    events: (reached, listener) => {
      const engine = engineOf(reached)
      const tell = async (name: string) => {
        const instance = await engine
          .api()
          .then((api) => named(api, name))
          .catch(() => null)
        const handle = instance && handleIn(instance)
        // An instance that is gone does not tell its handle: all statuses are read again.
        if (handle) listener({ kind: 'guest', handle })
        else if (!instance) listener({ kind: 'connected' })
      }
      return engine.events((event) => (event.kind === 'object' ? void tell(event.id) : listener(event)))
    },

    changes: {
      isCompared: false,
      // An instance that runs takes what it can with its definition.
      apply: async (vm, fields, isRunning) => {
        if (fields.every((field) => field === 'autostart')) await define(vm)
        return isRunning ? fields.filter((field) => field === 'autostart') : fields
      },
      sizes: async (guest) => {
        const instance = await find(await apiAt(guest), guest)
        const sizes = instance && sizesOf(instance)
        return sizes && { next: sizes, current: sizes }
      },
      bootIdOf: async (guest) => {
        const instance = await find(await apiAt(guest), guest)
        return instance && statusOf(instance).status !== 'stopped' ? instance.last_used_at : null
      },
    },
    power: {
      reset: (guest) => act(guest, 'restart', ['running']),
      pause: (guest) => act(guest, 'freeze', ['running'], {}),
      resume: (guest) => act(guest, 'unfreeze', ['paused'], {}),
    },
    serialLog: {
      text: async (guest) => {
        const api = await apiAt(guest)
        const instance = await find(api, guest)
        return instance ? api.text(`${instancePath(instance.name)}/console`) : ''
      },
    },
    statistics: {
      read: async (guest) => {
        const api = await apiAt(guest)
        const instance = await find(api, guest)
        return statsOf(instance && (await api.get(`${instancePath(instance.name)}/state`)))
      },
    },
  }
}
