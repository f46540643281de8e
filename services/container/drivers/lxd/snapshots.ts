import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import { idLabel, type Ref } from '../driver.ts'
import type { Committing, Copying, ListedSnapshot, Snapshots } from '../parts.ts'
import { instancePath, named, unlessGone } from './find.ts'
import { type Instance, labelsOf, uuidOf } from './instance.ts'

/** GET /1.0/instances/{name}/snapshots; the name may have that of the instance before it. */
type Listed = { name: string; created_at: string; size?: number }

type Need = (ref: Pick<Ref, 'node' | 'engine_id'>) => Promise<{ api: Api; instance: Instance }>

const snapshotPath = (instance: string, name: string) =>
  `${instancePath(instance)}/snapshots/${encodeURIComponent(name)}`

const busyTries = { count: 40, everyMs: 250 }

/** Repeats a change while the engine says that the root file system is in use: it lets go a moment after a stop. */
async function unlessBusy(change: () => Promise<void>): Promise<void> {
  for (let tried = 1; ; tried++) {
    try {
      return await change()
    } catch (error) {
      const isBusy = error instanceof ConflictError && /in use|busy/i.test(error.message)
      if (!isBusy || tried === busyTries.count) throw error
      await delay(busyTries.everyMs)
    }
  }
}

export const lxdSnapshots = (need: Need): Snapshots => ({
  onlyStopped: false,
  list: async (ref) => {
    const { api, instance } = await need(ref)
    const all = await api.get<Listed[] | null>(`${instancePath(instance.name)}/snapshots?recursion=1`)
    return (all ?? []).map(({ name, created_at, size }): ListedSnapshot => ({
      name: name.split('/').at(-1)!,
      // The engine writes -1 where it does not know.
      size_bytes: size !== undefined && size > 0 ? size : null,
      created_at: new Date(created_at).toISOString(),
    }))
  },
  create: async (ref, name) => {
    const { api, instance } = await need(ref)
    if (await unlessGone(api.get(snapshotPath(instance.name, name)))) return
    await api.send('POST', `${instancePath(instance.name)}/snapshots`, { name, stateful: false })
  },
  restore: async (ref, name) => {
    const { api, instance } = await need(ref)
    await unlessBusy(() => api.send('PUT', instancePath(instance.name), { restore: name }))
  },
  remove: async (ref, name) => {
    const { api, instance } = await need(ref)
    await unlessGone(api.send('DELETE', snapshotPath(instance.name, name)))
  },
})

export const lxdCopying = (need: Need, remember: (instances: Instance[]) => void): Copying => ({
  onlyStopped: false,
  create: async (ref, { id, name, snapshot }) => {
    const { api, instance } = await need(ref)
    const there = await named(api, name)
    if (there && labelsOf(there)[idLabel] !== id)
      throw new ConflictError(`${api.name} has another container '${name}' by now`)
    if (!there) {
      const source = snapshot === null ? instance.name : `${instance.name}/${snapshot}`
      const devices = Object.fromEntries(Object.entries(instance.devices).filter(([, { type }]) => type !== 'proxy'))
      await api.send('POST', '/1.0/instances', {
        name,
        type: 'container',
        source: { type: 'copy', source, instance_only: true },
        profiles: instance.profiles,
        config: { [`user.${idLabel}`]: id },
        devices,
      })
    }
    const made = await named(api, name)
    if (!made) throw new NotFoundError(`${api.name} does not have the container '${name}' that it has made`)
    // Devices of the source that are not named come along in a copy.
    const devices = Object.fromEntries(Object.entries(made.devices).filter(([, { type }]) => type !== 'proxy'))
    const { architecture, profiles, config } = made
    await api.send('PUT', instancePath(name), { architecture, profiles, config, devices })
    remember([made])
    return uuidOf(made)
  },
  tidy: async () => undefined,
})

/** The property of an image with the operation that has made it. */
const markKey = 'horcrux.commit'
type Image = { fingerprint: string; properties: Record<string, string> | null }

const marked = async (api: Api, mark: string): Promise<string | undefined> =>
  ((await api.get<Image[] | null>('/1.0/images?recursion=1')) ?? []).find(
    ({ properties }) => properties?.[markKey] === mark,
  )?.fingerprint

export const lxdCommitting = (need: Need): Committing => ({
  onlyStopped: true,
  commit: async (ref, mark) => {
    const { api, instance } = await need(ref)
    const there = await marked(api, mark)
    if (there !== undefined) return there
    const source = { type: 'instance', name: instance.name }
    await api.send('POST', '/1.0/images', { source, properties: { [markKey]: mark } })
    const made = await marked(api, mark)
    if (made === undefined) throw new NotFoundError(`${api.name} does not have the image that it has made`)
    return made
  },
  undo: async (ref, mark) => {
    const { api } = await need(ref)
    const made = await marked(api, mark)
    if (made !== undefined) await unlessGone(api.send('DELETE', `/1.0/images/${made}`))
  },
})
