/** Snapshots of kinds whose snapshots are volumes of their own, sharing blocks but depending on nothing. */
import type { PoolConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Family, Head, Original, SnapshotDriver, SnapshotUsage, VolumeName, VolumeSpec } from './driver.ts'

/** The things of one storage pool, by their names in it. */
export type SnapshotStore = {
  /** A character that no volume has in its name. */
  separator: ':' | '+'
  names: () => Promise<string[]>
  /** null when nothing has the name. */
  sizeOf: (name: string) => Promise<number | null>
  /** Makes a copy-on-write copy that is only read. */
  snapshot: (from: string, to: string) => Promise<unknown>
  /** Makes a copy-on-write copy that a guest can write. */
  head: (from: string, to: string) => Promise<unknown>
  /** One that is gone is fine. */
  remove: (name: string) => Promise<unknown>
  original: (name: string) => Promise<Original>
  usage: (name: string) => Promise<Omit<SnapshotUsage, 'id'>>
}

/** The name of the thing that guests write: the driver's word for a head is its name. */
export const nameOfHead = ({ name, head }: VolumeName): string => head ?? name

export function independentSnapshots<K extends PoolType>(
  storeOf: (host: Host, config: PoolConfig<K>) => SnapshotStore,
): SnapshotDriver<K> {
  const headOf = ({ head = null, format, size_bytes }: VolumeSpec): Head => ({ head, format, size_bytes })
  const left = ({ snapshots }: Family, id: string) =>
    snapshots.filter((each) => each.id !== id).map(({ id: other, native }) => ({ id: other, native }))

  async function requireSize({ sizeOf }: SnapshotStore, name: string): Promise<number> {
    const size = await sizeOf(name)
    if (size === null) throw new NotFoundError(`The snapshot ${name} is not in the storage pool`)
    return size
  }

  return {
    moment: 'storage',

    // Metadata only; the floor of the storage pool is checked by the caller.
    foresee: async () => ({ needed_bytes: 0, obstacles: [] }),

    async take(host, config, volumes, id) {
      const store = storeOf(host, config)
      const made: string[] = []
      try {
        for (const volume of volumes) {
          const native = `${volume.name}${store.separator}snap${store.separator}${id}`
          if ((await store.sizeOf(native)) !== null) continue
          made.push(native)
          await store.snapshot(nameOfHead(volume), native)
        }
      } catch (error) {
        for (const native of made) await store.remove(native)
        throw error
      }
      return volumes.map((volume) => ({
        native: `${volume.name}${store.separator}snap${store.separator}${id}`,
        head: headOf(volume),
      }))
    },

    async open(host, config, { name, format }, { native }, id) {
      const store = storeOf(host, config)
      const head = `${name}${store.separator}head${store.separator}${id}`
      if ((await store.sizeOf(head)) === null) {
        await requireSize(store, native)
        await store.head(native, head)
      }
      return { head, format, size_bytes: await requireSize(store, head) }
    },

    // A head is in place when the record of the volume names it.
    swap: async () => undefined,

    async discard(host, config, volume, head) {
      await storeOf(host, config).remove(nameOfHead({ ...volume, head }))
    },

    foreseeDeletion: async () => ({ plan: 'delete', bytes: 0, obstacle: null, merge: null }),

    async delete(host, config, family, id) {
      const found = family.snapshots.find((each) => each.id === id)
      if (found) await storeOf(host, config).remove(found.native)
      return { snapshots: left(family, id), head: headOf(family.volume), leftover: null }
    },

    async deleteAll(host, config, { volume, snapshots, keptHeads }) {
      const store = storeOf(host, config)
      const names = [nameOfHead(volume), ...keptHeads, ...snapshots.map(({ native }) => native)]
      const isOf = (name: string) => name === volume.name || name.startsWith(volume.name + store.separator)
      for (const name of names.filter(isOf)) await store.remove(name)
    },

    async list(host, config, { name }) {
      const store = storeOf(host, config)
      const isOf = (other: string) =>
        other === name ||
        ['snap', 'head'].some((kind) => other.startsWith(name + store.separator + kind + store.separator))
      return (await store.names()).filter(isOf)
    },

    async usage(host, config, { snapshots }) {
      const store = storeOf(host, config)
      return Promise.all(snapshots.map(async ({ id, native }) => Object.assign({ id }, await store.usage(native))))
    },

    original: (host, config, _volume, { native }) => storeOf(host, config).original(native),

    async clone(host, config, { snapshot }, volume, { ifExists }) {
      const store = storeOf(host, config)
      if ((await store.sizeOf(volume.name)) !== null) return ifExists === 'accept'
      await store.head(snapshot.native, volume.name)
      return true
    },
  }
}
