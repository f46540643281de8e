/**
 * Snapshots of volumes of ZFS. A restore is a clone: ZFS itself goes back only to the newest snapshot, and loses the others.
 * Snapshots lie in the dataset of the head that they were taken of, or move to a clone of it by `zfs promote`, so they are
 * identified by their guid, which never changes.
 */
import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Family, Head, SnapshotDriver, VolumeName, VolumeSpec } from '../driver.ts'
import { nameOfHead } from '../independent-snapshots.ts'
import {
  childrenOf,
  destroy,
  mark,
  propertiesOf,
  requireProperties,
  type Snapshot,
  snapshotsOf,
  zfs,
  zfsIfThere,
} from './datasets.ts'
import { linkDevice, linkOf, unlinkDevice } from './devices.ts'

type Config = PoolConfig<'zfs'>

const at = ({ dataset }: Config, name: string): string => `${dataset}/${name}`
const snapshotName = (id: string) => `snap:${id}`
const headName = ({ name }: VolumeName, id: string) => `${name}:head:${id}`
const headOf = ({ head = null, format, size_bytes }: VolumeSpec): Head => ({ head, format, size_bytes })

/** The datasets of a volume: its first head, others, and discarded ones that still hold snapshots. */
async function datasetsOf(host: Host, config: Config, { name }: VolumeName): Promise<string[]> {
  const isOf = (child: string) => child === name || child.startsWith(`${name}:head:`)
  return (await childrenOf(host, config.dataset)).map((child) => child.name).filter(isOf)
}

/** Our snapshots of a volume that were not deleted; a deleted one stays, deferred, while ZFS needs it for a clone. */
async function ours(host: Host, config: Config, volume: VolumeName): Promise<Snapshot[]> {
  const found: Snapshot[] = []
  for (const dataset of await datasetsOf(host, config, volume))
    for (const snapshot of await snapshotsOf(host, at(config, dataset)))
      if (snapshot.ours === 'snapshot' && !snapshot.isDeferred) found.push(snapshot)
  return found
}

async function requireSnapshot(host: Host, config: Config, volume: VolumeName, guid: string): Promise<Snapshot> {
  const found = (await ours(host, config, volume)).find((each) => each.guid === guid)
  if (found) return found
  throw new NotFoundError(`The snapshot ${guid} of volume '${volume.name}' is not on ${host.describe()}`)
}

const isHusk = async (host: Host, dataset: string) =>
  (await propertiesOf(host, dataset, [mark]))?.[mark] === 'discarded'

/**
 * Destroys discarded heads as far as their snapshots allow it: those that other heads were cloned from are handed over to
 * these, and a head that still holds snapshots goes back to the newest of them, which frees its own blocks.
 */
export async function tidy(host: Host, config: Config, volume: VolumeName): Promise<void> {
  if (!(await propertiesOf(host, config.dataset, ['type']))) return
  const names = await datasetsOf(host, config, volume)
  const family = new Set(names.map((name) => at(config, name)))
  for (const dataset of family) {
    if (!(await isHusk(host, dataset))) continue
    const heir = (await snapshotsOf(host, dataset))
      .flatMap(({ clones }) => clones.filter((each) => family.has(each)))
      .at(-1)
    if (heir !== undefined) await zfs(host, 'promote', heir)
    const [newest] = (await snapshotsOf(host, dataset)).toReversed()
    if (newest) {
      // It is the newest, so nothing but the head's own blocks is lost.
      await zfs(host, 'rollback', newest.name)
      continue
    }
    await destroy(host, dataset)
    await unlinkDevice(host, dataset)
  }
}

/** Snapshots below one dataset. */
export const zfsSnapshots: SnapshotDriver<'zfs'> = {
  moment: 'storage',

  async foresee(host, config, volumes) {
    let needed_bytes = 0
    for (const volume of volumes) {
      const names = ['refreservation', 'usedbydataset'] as const
      const found = await requireProperties(host, at(config, nameOfHead(volume)), names)
      // A reservation is kept for all blocks: those that the snapshot holds need room a second time.
      if (Number(found.refreservation) > 0) needed_bytes += Number(found.usedbydataset)
    }
    return { needed_bytes, obstacles: [] }
  },

  async take(host, config, volumes, id) {
    const names = volumes.map((volume) => `${at(config, nameOfHead(volume))}@${snapshotName(id)}`)
    const isThere = await Promise.all(names.map(async (name) => (await propertiesOf(host, name, ['guid'])) !== null))
    // One command is one transaction, of all or none.
    const missing = names.filter((_, index) => !isThere[index])
    if (missing.length > 0) await zfs(host, 'snapshot', '-o', `${mark}=snapshot`, ...missing)
    const guids = await Promise.all(names.map((name) => requireProperties(host, name, ['guid'])))
    return volumes.map((volume, index) => ({ native: guids[index]!.guid, head: headOf(volume) }))
  },

  async open(host, config, volume, { native }, id) {
    const head = headName(volume, id)
    const dataset = at(config, head)
    if (!(await propertiesOf(host, dataset, ['type']))) {
      const from = await requireSnapshot(host, config, volume, native)
      await zfs(host, 'clone', from.name, dataset)
    }
    await linkDevice(host, dataset)
    const { volsize } = await requireProperties(host, dataset, ['volsize'])
    return { head, format: volume.format, size_bytes: Number(volsize) }
  },

  // A head is in place when the record of the volume names it.
  swap: async () => undefined,

  async discard(host, config, volume, head) {
    const dataset = at(config, nameOfHead({ ...volume, head }))
    if ((await zfsIfThere(host, 'set', `${mark}=discarded`, dataset)) !== null) await tidy(host, config, volume)
  },

  async foreseeDeletion(_host, _config, { snapshots }: Family, id) {
    const hasClones = snapshots.some((each) => each.id === id && each.hasClones)
    const obstacle = hasClones
      ? 'a linked clone reads from it: delete the clone, or make a full copy of it, first'
      : null
    return { plan: 'delete', bytes: 0, obstacle, merge: null }
  },

  async delete(host, config, { volume, snapshots }, id) {
    const wanted = snapshots.find((each) => each.id === id)
    const found = (await ours(host, config, volume)).find(({ guid }) => guid === wanted?.native)
    // Deferred while a head was cloned from it: ZFS destroys it with the last of these.
    if (found) await zfs(host, 'destroy', '-d', found.name)
    await tidy(host, config, volume)
    const left = snapshots.filter((each) => each.id !== id).map(({ id: other, native }) => ({ id: other, native }))
    return { snapshots: left, head: headOf(volume), leftover: null }
  },

  async deleteAll(host, config, { volume, snapshots }) {
    const natives = new Set(snapshots.map(({ native }) => native))
    for (const { name, guid } of await ours(host, config, volume))
      if (natives.has(guid)) await zfs(host, 'destroy', '-d', name)
    const datasets = await datasetsOf(host, config, volume)
    for (const dataset of datasets) await zfsIfThere(host, 'set', `${mark}=discarded`, at(config, dataset))
    await tidy(host, config, volume)
  },

  async list(host, config, volume) {
    const heads: string[] = []
    for (const name of await datasetsOf(host, config, volume))
      if (!(await isHusk(host, at(config, name)))) heads.push(name)
    return [...(await ours(host, config, volume)).map(({ guid }) => guid), ...heads]
  },

  async usage(host, config, { volume, snapshots }) {
    const known = new Map((await ours(host, config, volume)).map((each) => [each.guid, each]))
    return snapshots.map(({ id, native }) => {
      const found = known.get(native)
      return { id, held_bytes: found?.referencedBytes ?? null, freed_bytes: found?.usedBytes ?? null }
    })
  },

  async original(host, config, volume, { native }) {
    const { name } = await requireSnapshot(host, config, volume, native)
    await zfs(host, 'set', 'snapdev=visible', name.slice(0, name.indexOf('@')))
    await linkDevice(host, name)
    return { source: { type: 'block', path: linkOf(name) }, format: volume.format }
  },

  async clone(host, config, { volume: base, snapshot }, volume, { ifExists }) {
    const dataset = at(config, volume.name)
    if (await propertiesOf(host, dataset, ['type'])) {
      if (ifExists === 'refuse') return false
    } else await zfs(host, 'clone', (await requireSnapshot(host, config, base, snapshot.native)).name, dataset)
    await linkDevice(host, dataset)
    return true
  },
}
