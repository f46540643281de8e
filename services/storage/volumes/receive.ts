import type { Params, Result } from '#shared/contract/contract.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError } from '#shared/errors.ts'
import { register, requireSpace } from './clone.ts'
import { volumeRecords } from '../models.ts'
import { place, requireOwned } from './volume.ts'

type Given = Params<typeof volumesInternal, 'openCopyTargets'>

/** The driver of a pool that a hypervisor can write into. */
async function placeToReceive(id: string) {
  const { pool, host, driver } = await place(id)
  if (pool.state !== 'active') throw new ConflictError(`Storage pool '${id}' is not active`)
  const receive = driver.clone?.receive
  if (!receive) throw new ConflictError(`Storage pool '${id}' cannot hold copies of guests that run`)
  return { pool, host, driver, receive }
}

/** @throws ConflictError when the pools have not as many bytes left as all disks together take */
async function requireSpaceFor(disks: { source: Volume; pool: string; format: Volume['format'] }[]): Promise<void> {
  const needed = new Map<string, number>()
  for (const { source, pool, format } of disks) {
    const { host, driver } = await place(source.pool)
    // Hypervisors write zeros into a raw image, and take the space for them.
    const measured = format === 'raw' ? undefined : await driver.clone?.dataBytes(host, source)
    const bytes = measured ?? source.size_bytes
    needed.set(pool, (needed.get(pool) ?? 0) + bytes)
  }
  for (const [pool, bytes] of needed) await requireSpace(pool, bytes)
}

/**
 * Prepares for disks that a hypervisor copies itself: each volume is written down, and an empty image lies beside its
 * place. Again, the images are empty again.
 */
export async function openCopyTargets({ copy, source_owner, owner, disks }: Given): Promise<{ paths: string[] }> {
  const known = await Promise.all(
    disks.map(async ({ id, volume, ...to }) => ({ ...to, source: await requireOwned(id, volume, source_owner) })),
  )
  await requireSpaceFor(known)
  const paths: string[] = []
  for (const { pool: to, name, format, source } of known) {
    const { pool, host, receive } = await placeToReceive(to)
    const target = { pool: to, name, format, size_bytes: source.size_bytes }
    await register(target, { owner, backing: null })
    paths.push(await receive.open(host, pool, target, copy))
  }
  return { paths }
}

/** Makes the images what their volumes are. @throws ConflictError when one of these was deleted meanwhile */
export async function commitCopyTargets({
  copy,
  owner,
  disks,
}: Params<typeof volumesInternal, 'commitCopyTargets'>): Promise<Result<typeof volumesInternal, 'commitCopyTargets'>> {
  const data: Volume[] = []
  for (const { id, volume } of disks) {
    const record = await requireOwned(id, volume, owner)
    const { pool, host, driver, receive } = await placeToReceive(id)
    await receive.place(host, pool, record, copy)
    const still = await volumeRecords.get(record.id)
    if (!still || still.deleting) {
      await driver.deleteVolume(host, pool, record)
      throw new ConflictError(`Volume '${record.id}' was deleted while it was made`)
    }
    data.push(record)
  }
  return { data }
}
