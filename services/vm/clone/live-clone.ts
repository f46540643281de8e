import { call } from '#shared/bus/call.ts'
import { type LiveCopy, volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { requestContext, requireCurrent } from '#shared/runtime/request-context.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Op } from '#shared/operation/kinds.ts'
import type { Copies } from '../drivers/parts.ts'
import { requirePart } from '../drivers/drivers.ts'
import { type Consistency, thawProblem, whileFrozen } from '../guest-agent/freeze.ts'
import { type DiskRecord, apiPathOf, type VmRecord, vmRecords } from '../model.ts'
import { requireStatus, settle } from '../state/status.ts'
import type { CloneInput } from './input.ts'
import { type ClonedDisk, undoDisk } from './disks.ts'

/** The lock on copying a running guest: one copy at a time. */
export const copyKeyOf = (id: string) => `copy of running ${id}`

/** Statuses in which the hypervisor copies the disks. */
export const whileRunning = ['running', 'paused'] as const

/** @throws ConflictError for a guest that has stopped since the request */
export function requireStillRunning(vm: VmRecord): void {
  if (vm.status === 'stopped')
    throw new ConflictError(
      `Virtual machine '${vm.id}' was switched off while it was cloned: clone it again as it is now`,
    )
  requireStatus(vm, 'clone', [...whileRunning])
}

/** Steps whose result has the consistency of the copy. */
export const consistencySteps = ['cloning_disk', 'cloning_disk begin']
/** `images`: those that the hypervisor fills, in the order of the disks; missing in the journal of an earlier version. */
export type Copied = { consistency: Consistency; images?: LiveCopy[] }

/** True for a disk that the guest writes. Read-only disks are copied by the storage. */
export const isWritten = ({ source }: ClonedDisk) => !source.readonly

/**
 * Runs of operations of this process that have begun a copy. Only they may take the job end that the hypervisor reports
 * for the end of this copy. A replica that takes over and finds no job begins again: the images may be empty.
 */
const begunIn = new Set<string>()
const runOf = ({ id }: Op) => `${id}/${requestContext()?.fence?.epoch}`

const copiesOf = (vm: VmRecord): Copies =>
  requirePart(vm, 'copies', (hypervisor) => `A virtual machine of ${hypervisor} is copied while it is off`)

type Part = { op: Op; input: CloneInput; disks: ClonedDisk[] }

/** Begins the copy of all disks at one moment; freezes the file systems if the guest's agent answers. */
async function begin({ op, input: { source, vm: clone }, disks }: Part): Promise<Copied> {
  const vm = await settle(source)
  requireStillRunning(vm)
  const copies = copiesOf(vm)
  // A job that was begun but not journalled: nobody knows whether it was frozen.
  await copies.abort(vm, op.id)
  const wanted = disks.map(({ source: { pool: id, volume }, target: { pool, volume: name, format } }) => {
    return { id, volume, pool, name, format }
  })
  const { images } = await call(
    volumesInternal,
    'openCopyTargets',
    { copy: op.id, source_owner: apiPathOf(source), owner: apiPathOf(clone.id), disks: wanted, node: vm.node },
    { timeoutMs: 120_000 },
  )
  const targets = disks.map(({ source: { id }, target: { format } }, index) => ({
    disk: id,
    format,
    source: images[index]!.source,
  }))
  const { consistency, filesystems, problem } = await whileFrozen(vm, async () => {
    await requireCurrent()
    return copies.begin(vm, targets)
  })
  begunIn.add(runOf(op))
  op.log(
    consistency === 'filesystem'
      ? `The file systems of '${source}' were frozen when the copy began`
      : `The copy of '${source}' is crash consistent: ${filesystems === 0 ? 'no agent in the guest has frozen its file systems' : 'its file systems may not have been frozen all the time'}`,
  )
  if (problem) op.log(thawProblem(source, problem))
  return { consistency, images }
}

const tries = 3

/** Waits for the copy. A copy whose end was missed begins again, at a later moment. */
async function follow(part: Part, begun: Copied, onProgress: (done: number) => void): Promise<Copied> {
  const { op, input } = part
  const vm = await vmRecords.require(input.source)
  const copies = copiesOf(vm)
  let copied = begun
  // A job that fills other images was begun by a run that did not come to journal it.
  const [first] = begun.images ?? []
  const isUnderWay = async () => first !== undefined && copies.isUnderWay(vm, pathOfSource(first.source) ?? op.id)
  const isKnown = begun.images !== undefined && (begunIn.has(runOf(op)) || (await isUnderWay()))
  if (!isKnown) copied = await begin(part)
  for (let tried = 1; !(await copies.wait(vm, op.id, { signal: op.signal, onProgress })); tried++) {
    if (tried === tries)
      throw new ConflictError(`The hypervisor does not tell whether the copy of '${vm.id}' is complete`)
    copied = await begin(part)
  }
  begunIn.delete(runOf(op))
  return copied
}

async function undo({ op, input: { source, vm: clone }, disks }: Part): Promise<void> {
  const vm = await vmRecords.require(source)
  await copiesOf(vm).abort(vm, op.id)
  begunIn.delete(runOf(op))
  for (const { target } of disks) await undoDisk(target, apiPathOf(clone.id))
}

/** Copies disks of a running guest, in steps. @param onProgress gets all bytes, holes included */
export async function copyRunning(
  op: Op,
  input: CloneInput,
  disks: ClonedDisk[],
  onProgress: (doneBytes: number) => void,
): Promise<DiskRecord[]> {
  if (disks.length === 0) return []
  const part = { op, input, disks }
  const begun = await op.step('cloning_disk begin', () => begin(part), { undo: () => undo(part) })
  const { images = [] } = await op.step('cloning_disk', () => follow(part, begun, onProgress))
  const places = disks.map(({ target: { pool: id, volume } }, index) => ({ id, volume, image: images[index]! }))
  const { data } = await op.step('cloning_disk in place', () =>
    call(volumesInternal, 'commitCopyTargets', { owner: apiPathOf(input.vm.id), disks: places }, { timeoutMs: 60_000 }),
  )
  return disks.map(({ target }, index) => {
    const { source, format, size_bytes } = data[index]!
    return { ...target, source, format, size_bytes }
  })
}
