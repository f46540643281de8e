import { NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { tool, toolUnless, whileBusy } from '../tool.ts'

export const zfs = (host: Host, ...args: string[]): Promise<string> => tool(host, 'zfs', args)

const notThere = /does not exist|no such pool/

/** As {@link zfs}; null when the dataset is not there. */
export const zfsIfThere = (host: Host, ...args: string[]): Promise<string | null> =>
  toolUnless(host, notThere, 'zfs', args)

/** Properties of a dataset, unformatted; null when it is not there. */
export async function propertiesOf<P extends string>(
  host: Host,
  dataset: string,
  properties: readonly P[],
): Promise<Record<P, string> | null> {
  const said = await zfsIfThere(host, 'get', '-Hp', '-o', 'property,value', properties.join(','), dataset)
  if (said === null) return null
  const lines = said.split('\n').filter((line) => line !== '')
  // Every property that was asked for is answered, with `-` for one that the dataset does not have.
  return Object.fromEntries(lines.map((line) => line.split('\t'))) as Record<P, string>
}

/** As {@link propertiesOf}. @throws NotFoundError */
export async function requireProperties<P extends string>(host: Host, dataset: string, properties: readonly P[]) {
  const found = await propertiesOf(host, dataset, properties)
  if (found) return found
  throw new NotFoundError(`Dataset '${dataset}' not found on ${host.describe()}`, {
    details: { kind: 'Dataset', id: dataset },
  })
}

/** Datasets right below another one, without snapshots. */
export async function childrenOf(host: Host, dataset: string): Promise<{ name: string; type: string; size: number }[]> {
  const said = await zfs(host, 'list', '-Hp', '-d', '1', '-t', 'filesystem,volume', '-o', 'name,type,volsize', dataset)
  return said
    .split('\n')
    .map((line) => line.split('\t'))
    .filter(([name]) => name?.startsWith(`${dataset}/`))
    .map(([name, type, size]) => ({ name: name!.slice(dataset.length + 1), type: type!, size: Number(size) }))
}

/** Makes a volume that is empty. */
export const createVolume = (host: Host, { thin }: { thin: boolean }, dataset: string, size_bytes: number) =>
  zfs(host, 'create', ...(thin ? ['-s'] : []), '-V', String(size_bytes), dataset)

export type Snapshot = {
  name: string
  guid: string
  createtxg: bigint
  /** Our mark of it; `-` for a snapshot of others. */
  ours: string
  clones: string[]
  /** Deleted, and kept by ZFS for a clone. */
  isDeferred: boolean
  referencedBytes: number
  usedBytes: number
}

/** Our mark of a snapshot, a user property: `clone` for the origin of a linked clone, or the id of a snapshot. */
export const mark = 'org.horcrux:is'

/** Snapshots of a volume by their transaction groups: `creation` is the wall clock, which may have been set back. */
export async function snapshotsOf(host: Host, dataset: string): Promise<Snapshot[]> {
  const fields = `name,guid,createtxg,${mark},clones,defer_destroy,referenced,used`
  const said = await zfsIfThere(host, 'list', '-Hp', '-d', '1', '-t', 'snapshot', '-o', fields, dataset)
  const lines = (said ?? '').split('\n').filter((line) => line !== '')
  const found = lines.map((line): Snapshot => {
    const [name, guid, createtxg, ours, clones, deferred, referenced, used] = line.split('\t')
    const list = (clones ?? '').split(',').filter((clone) => clone !== '' && clone !== '-')
    return {
      name: name!,
      guid: guid!,
      createtxg: BigInt(createtxg!),
      ours: ours!,
      clones: list,
      isDeferred: deferred === 'on',
      referencedBytes: Number(referenced),
      usedBytes: Number(used),
    }
  })
  return found.toSorted((a, b) => (a.createtxg < b.createtxg ? -1 : 1))
}

/** Destroys one dataset or snapshot, never anything below it; one that is gone is fine. */
export async function destroy(host: Host, dataset: string): Promise<void> {
  await whileBusy(() => zfsIfThere(host, 'destroy', dataset))
}

/** Destroys a volume with the snapshots that linked clones needed, which have none any more. */
export async function destroyVolume(host: Host, dataset: string): Promise<void> {
  const found = await propertiesOf(host, dataset, ['type', 'origin'])
  if (found?.type !== 'volume') return
  for (const { name, ours, clones } of await snapshotsOf(host, dataset))
    if (ours === 'clone' && clones.length === 0) await destroy(host, name)
  await destroy(host, dataset)
  const origin = found.origin === '-' ? null : await propertiesOf(host, found.origin, [mark, 'clones'])
  if (origin?.[mark] === 'clone' && ['', '-'].includes(origin.clones)) await destroy(host, found.origin)
}
