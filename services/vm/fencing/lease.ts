import { dirname } from 'node:path'
import { leasePrefix } from '#shared/contracts/vm/fencing.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type GuestLease, reportOf } from '../drivers/parts.ts'
import type { VmRecord } from '../model.ts'

/** The lease file of a VM: beside its first disk, when all of its disks are files; else null. */
export function leasePathOf({ id, disks }: Pick<VmRecord, 'id' | 'disks'>): string | null {
  const [first] = disks
  if (!first || disks.some(({ source }) => source.type !== 'file')) return null
  return first.source.type === 'file' ? `${dirname(first.source.path)}/${leasePrefix}${id}` : null
}

/** The lease of a VM, for its guard; null for one without a lease file. */
export const leaseOf = ({ ha }: Pick<VmRecord, 'ha'>): GuestLease | null =>
  ha?.path ? { path: ha.path, epoch: ha.epoch } : null

async function readText(host: Host, path: string): Promise<string | null> {
  try {
    return (await host.readFile(path)).toString('latin1').trim()
  } catch (error) {
    if (error instanceof NotFoundError) return null
    throw error
  }
}

/** The epoch in a lease file, as a node reads it; null for no file. @throws ConflictError for a file that is no lease */
async function readEpoch(host: Host, path: string): Promise<number | null> {
  const text = await readText(host, path)
  if (text === null) return null
  if (!/^\d{1,15}$/.test(text)) throw new ConflictError(`${path} on ${host.describe()} is no lease of a guest`)
  return Number(text)
}

/** Writes an epoch from a node; the same one again is fine. @throws ConflictError when the file has a higher one */
export async function writeLease(node: string, { path, epoch }: GuestLease): Promise<void> {
  const { host } = await reach(node)
  const found = await readEpoch(host, path)
  if (found === epoch) return
  if (found !== null && found > epoch)
    throw new ConflictError(`The lease ${path} has the epoch ${found}, which is newer than ${epoch}`)
  await host.writeFile(path, `${epoch}\n`)
}

/** @throws ConflictError unless the lease file has this epoch, as the node reads it */
export async function requireEpoch(node: string, { path, epoch }: GuestLease): Promise<void> {
  const { host } = await reach(node)
  const found = await readEpoch(host, path)
  if (found !== epoch)
    throw new ConflictError(
      `The lease ${path} has ${found === null ? 'no epoch' : `the epoch ${found}`} on node '${node}', not ${epoch}: another start has taken the guest over`,
      { details: { found, epoch } },
    )
}

/** True when the guard on a node has reported, for this epoch or a later one, that it has ended its guest. */
export async function isReported(by: string, lease: GuestLease, node: string): Promise<boolean> {
  const { host } = await reach(by)
  const [epoch = '', name] = ((await readText(host, reportOf(lease))) ?? '').split(' ')
  return name === node && Number(epoch) >= lease.epoch
}

export async function removeLease(node: string, lease: GuestLease): Promise<void> {
  const { host } = await reach(node)
  await host.remove(reportOf(lease))
  await host.remove(lease.path)
}
