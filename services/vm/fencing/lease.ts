import { dirname } from 'node:path'
import { leasePrefix } from '#shared/contracts/vm/fencing.ts'
import { AppError, ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
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

/** Seconds for a read: on storage that does not answer it would hang, and all of HA with it. */
const readSeconds = 5

/** @throws UnavailableError when the storage does not answer */
async function readText(host: Host, path: string): Promise<string | null> {
  const words = ['-s', 'KILL', String(readSeconds), 'head', '-c', '64', '--', path]
  const { code, stdout } = await host.run('timeout', words, { timeoutMs: 3 * readSeconds * 1000 })
  if (code === 0) return stdout.trim()
  if (code === killedCode)
    throw new UnavailableError(`The storage of ${path} does not answer on ${host.describe()} within ${readSeconds} s`)
  try {
    return (await host.readFile(path)).toString('latin1').trim()
  } catch (error) {
    if (error instanceof NotFoundError) return null
    throw error
  }
}

/** The exit code of timeout(1) after SIGKILL. */
const killedCode = 128 + 9

/** The reason for which a node cannot read a lease, and so none of the disks beside it; null: it can. */
export async function whyUnreadable(node: string, { path }: GuestLease): Promise<string | null> {
  const { host } = await reach(node)
  try {
    return (await readEpoch(host, path)) === null ? `${path} is not there on ${host.describe()}` : null
  } catch (error) {
    if (error instanceof AppError) return error.message
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
