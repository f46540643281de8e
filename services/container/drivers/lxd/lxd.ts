import { exportInstance } from './archives.ts'
import { alreadyExists, ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import { type LxdKind, lxdOf } from '#shared/nodes/lxd/engine.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { type ContainerEngine, type Definition, idLabel, type News, type Ref } from '../driver.ts'
import { filesByTar } from '../files.ts'
import { attachConsole, exec } from './exec.ts'
import { finder, instancePath, instancesOf, named, unlessGone } from './find.ts'
import { fingerprintOf, lxdImages } from './images.ts'
import { lxdRecreation } from './recreate.ts'
import { lxdRootFiles } from './root-files.ts'
import { lxdCommitting, lxdCopying, lxdSnapshots } from './snapshots.ts'
import {
  described,
  type Instance,
  labelsOf,
  limitKeys,
  listed,
  type State,
  statusOf,
  uuidOf,
  wantedOf,
} from './instance.ts'

type At = Pick<Ref, 'node' | 'engine_id'>
type Action = 'start' | 'stop' | 'freeze' | 'unfreeze'

/** Time that the engine takes at most to kill a container. Seconds. */
const killWithinSeconds = 30

const nameRules: Record<LxdKind, ContainerEngine['nameRule']> = {
  lxd: {
    pattern: /^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/,
    message: 'must be 1 to 63 letters, digits and -, begin with a letter, and not end with -',
  },
  incus: {
    pattern: /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/,
    message: 'must be 1 to 63 letters, digits and -, and not begin or end with -',
  },
}

/** The image as the source of an instance; null when the engine does not have it. */
async function imageOf(api: Api, image: string): Promise<{ type: 'image'; fingerprint: string } | null> {
  const fingerprint = await fingerprintOf(api, image)
  return fingerprint === null ? null : { type: 'image', fingerprint }
}

/** The storage pool for a new container: that of the default profile, else the first one. */
async function poolOf(api: Api): Promise<string | null> {
  const profile = await unlessGone(
    api.get<{ devices: Record<string, { path?: string; pool?: string }> }>('/1.0/profiles/default'),
  )
  const root = Object.values(profile?.devices ?? {}).find(({ path }) => path === '/')
  const [first] = (await api.get<string[] | null>('/1.0/storage-pools')) ?? []
  return root?.pool ?? first?.split('/').at(-1) ?? null
}

/** LXD or Incus, over its REST API, which is the same as far as it is used here. */
export function lxd(kind: LxdKind): ContainerEngine {
  const engineOf = (reached: Reached) => lxdOf(reached, kind)
  const apiAt = async (node: string) => engineOf(await reach(node)).api()
  const known = finder()

  /** @throws NotFoundError when the container is gone */
  const require = async (api: Api, { engine_id }: At): Promise<Instance> => {
    const found = await known.find(api, engine_id)
    if (!found) throw new NotFoundError(`${api.name} does not have the container '${engine_id}' any more`)
    return found
  }

  const need = async (ref: At) => {
    const api = await apiAt(ref.node)
    return { api, instance: await require(api, ref) }
  }

  /** Does something to a container that is in one of these states; one that is in another, or gone, is fine. */
  const act = async (ref: At, action: Action, from: string[], more: object = {}) => {
    const api = await apiAt(ref.node)
    const instance = await known.find(api, ref.engine_id)
    if (!instance || !from.includes(statusOf(instance).status)) return
    await api.send('PUT', `${instancePath(instance.name)}/state`, { action, timeout: killWithinSeconds, ...more })
  }

  const stop = async (ref: At, graceSeconds: number) => {
    await act(ref, 'unfreeze', ['paused'])
    if (graceSeconds > 0) {
      try {
        await act(ref, 'stop', ['running'], { timeout: graceSeconds, force: false })
      } catch (error) {
        // It has not ended in time.
        if (!(error instanceof ConflictError || error instanceof UnavailableError)) throw error
      }
    }
    try {
      await act(ref, 'stop', ['running', 'paused', 'unknown'], { force: true })
    } catch (error) {
      // It has ended by itself meanwhile.
      if (!(error instanceof ConflictError) || !/not running/i.test(error.message)) throw error
    }
  }

  const create = async (definition: Definition): Promise<string> => {
    const { id, name, image, mounts } = definition
    const api = await apiAt(definition.node)
    const there = await named(api, name)
    if (there && labelsOf(there)[idLabel] === id) return uuidOf(there)
    if (there) throw alreadyExists(name, { field: 'name' })
    const pool = (await poolOf(api)) ?? ''
    for (const { type, source } of mounts) if (type === 'volume') await haveVolume(api, pool, source)
    const source = await imageOf(api, image ?? '')
    if (!source) throw new NotFoundError(`${api.name} does not have the image '${image}' any more`)
    await api.send('POST', '/1.0/instances', { name, type: 'container', source, ...wantedOf(definition, pool) })
    const made = await named(api, name)
    if (!made) throw new NotFoundError(`${api.name} does not have the container '${name}' that it has made`)
    known.remember([made])
    return uuidOf(made)
  }

  const run: ContainerEngine['exec'] = async (ref, what) => {
    const api = await apiAt(ref.node)
    return exec(api, instancePath((await require(api, ref)).name), what)
  }

  const images = lxdImages(kind, (reached) => engineOf(reached).api())

  return {
    engineOf,
    usersAreNumbers: true,
    lacks: {
      rootfs: 'this engine makes containers from images: import the archive as an image first',
      command: 'this engine starts the init of the image',
      restart_policy: 'this engine restarts no container that has ended',
      health_check: 'this engine checks no health',
    },
    nameRule: nameRules[kind],

    check: async (reached, { image }) => {
      if (image === null) return [{ field: 'image', code: 'required', message: 'is required' }]
      const api = await engineOf(reached).api()
      const lackOfImage = `is not on the node: ${api.name} has no image '${image}'; import it first`
      const lackOfPool = `${api.name} has no storage pool for containers`
      return [
        ...((await imageOf(api, image)) ? [] : [{ field: 'image', code: 'not_found', message: lackOfImage }]),
        ...((await poolOf(api)) === null ? [{ field: 'runtime', code: 'no_pool', message: lackOfPool }] : []),
      ]
    },
    list: async (reached) => {
      const all = await instancesOf(await engineOf(reached).api())
      known.remember(all)
      return all.map(listed)
    },
    look: async ({ node, engine_id }) => {
      const api = await apiAt(node)
      const instance = await known.find(api, engine_id)
      if (!instance) return null
      const isOff = statusOf(instance).status === 'stopped'
      const state = isOff ? null : await unlessGone(api.get<State>(`${instancePath(instance.name)}/state`))
      return described(instance, state)
    },
    create,
    remove: async (ref) => {
      await stop(ref, 0)
      const api = await apiAt(ref.node)
      const instance = await known.find(api, ref.engine_id)
      if (instance) await unlessGone(api.send('DELETE', instancePath(instance.name)))
    },
    start: async (ref) => {
      await require(await apiAt(ref.node), ref)
      await act(ref, 'start', ['stopped'])
    },
    stop: (ref, { graceSeconds }) => stop(ref, graceSeconds),
    pause: (ref) => act(ref, 'freeze', ['running']),
    resume: (ref) => act(ref, 'unfreeze', ['paused']),
    images,
    rootFiles: lxdRootFiles({ need, apiOf: (reached) => engineOf(reached).api(), images }),
    limits: {
      change: async (ref, wanted) => {
        const api = await apiAt(ref.node)
        await api.send('PATCH', instancePath((await require(api, ref)).name), { config: limitKeys(wanted) })
      },
      keeps: [],
      areForgotten: false,
    },
    snapshots: lxdSnapshots(need),
    copying: lxdCopying(need, known.remember),
    committing: lxdCommitting(need),
    recreation: lxdRecreation({ apiAt, find: known.find, remember: known.remember, poolOf }),
    rename: {
      to: async (ref, name) => {
        const api = await apiAt(ref.node)
        const there = await require(api, ref)
        if (there.name !== name) await api.send('POST', instancePath(there.name), { name })
      },
      onlyStopped: true,
    },
    exec: run,
    files: filesByTar(run),
    export: async (ref) => {
      const { api, instance } = await need(ref)
      return exportInstance(api, instancePath(instance.name))
    },
    attach: async (ref, hasInput) => {
      const api = await apiAt(ref.node)
      return attachConsole(api, instancePath((await require(api, ref)).name), hasInput)
    },
    events: (reached, listener) => {
      const engine = engineOf(reached)
      return engine.events((event) => {
        if (event.kind !== 'object') return listener(event)
        void tell(engine.api(), event.id, event.change, listener)
      })
    },
  }

  /** An event names an instance; those that follow it are by its UUID. */
  async function tell(api: Promise<Api>, name: string, change: string, listener: (news: News) => void): Promise<void> {
    const before = known.lastUuidOf(name)
    const instance = await api.then((there) => named(there, name)).catch(() => null)
    if (instance) known.remember([instance])
    const engineId = instance ? uuidOf(instance) : before
    // One that was never seen and is gone: the full list is read again.
    listener(engineId ? { kind: 'container', engineId, change } : { kind: 'connected' })
  }
}

/** A volume of the engine; an existing one of the name is fine. */
async function haveVolume(api: Api, pool: string, name: string): Promise<void> {
  const path = `/1.0/storage-pools/${encodeURIComponent(pool)}/volumes/custom`
  if (await unlessGone(api.get(`${path}/${encodeURIComponent(name)}`))) return
  await api.send('POST', path, { name, config: {} })
}
