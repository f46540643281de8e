import { call } from '#shared/bus/call.ts'
import type { Disk } from '#shared/contracts/vm/hardware.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Op } from '#shared/operation/kinds.ts'
import type { Copies } from '../drivers/parts.ts'
import { requirePart } from '../drivers/drivers.ts'
import { type Consistency, whileFrozen } from '../guest-agent/freeze.ts'
import { pathOf, type VmRecord, vmRecords } from '../model.ts'
import { requireStatus, settle } from '../state/status.ts'
import type { CloneInput } from './input.ts'
import { type ClonedDisk, takeBack } from './disks.ts'

/** Held by the one copy that a guest that runs has at a time. */
export const copyKeyOf = (id: string) => `copy of running ${id}`

/** How a guest is when its disks are copied by its hypervisor. */
export const whileRunning = ['running', 'paused'] as const

/** @throws ConflictError for a guest that was to be copied as it runs */
export function requireStillRunning(vm: VmRecord): void {
  if (vm.status === 'stopped')
    throw new ConflictError(
      `Virtual machine '${vm.id}' was switched off while it was cloned: clone it again as it is now`,
    )
  requireStatus(vm, 'clone', [...whileRunning])
}

/** The steps whose result tells what the copy is. */
export const consistencySteps = ['cloning_disk', 'cloning_disk begin']
export type Copied = { consistency: Consistency }

/** Disks that the guest writes; the others are copied as those of a guest that is off. */
export const isWritten = ({ source }: ClonedDisk) => !source.readonly

/**
 * Runs of operations in which a copy was begun. In these it is known that the end that the hypervisor tells of is that
 * copy's; whoever takes the operation over begins again when he finds it ended: another one may have emptied the images.
 */
const begunIn = new Set<string>()
const runOf = ({ id }: Op) => `${id}/${requestContext()?.fence?.epoch}`

const copiesOf = (vm: VmRecord): Copies =>
  requirePart(vm, 'copies', (hypervisor) => `A virtual machine of ${hypervisor} is copied while it is off`)

type Part = { op: Op; input: CloneInput; disks: ClonedDisk[] }

/** Begins the copy of all disks at one moment, the file systems frozen where the guest's agent answers. */
async function begin({ op, input: { source, vm: clone }, disks }: Part): Promise<Copied> {
  const vm = await settle(source)
  requireStillRunning(vm)
  const copies = copiesOf(vm)
  // One that was begun before it was on record is not known to be frozen.
  await copies.abort(vm, op.id)
  const wanted = disks.map(({ source: { pool: id, volume }, target: { pool, volume: name, format } }) => {
    return { id, volume, pool, name, format }
  })
  const { paths } = await call(
    volumesInternal,
    'openCopyTargets',
    { copy: op.id, source_owner: pathOf(source), owner: pathOf(clone.id), disks: wanted },
    { timeoutMs: 120_000 },
  )
  const targets = disks.map(({ source: { id }, target: { format } }, index) => ({
    disk: id,
    format,
    path: paths[index]!,
  }))
  const consistency = await whileFrozen(vm, () => {
    requestContext()?.requireLease?.()
    return copies.begin(vm, targets)
  })
  begunIn.add(runOf(op))
  op.log(
    consistency === 'filesystem'
      ? `The file systems of '${source}' were frozen when the copy began`
      : `The copy of '${source}' is crash consistent: no agent in the guest has frozen its file systems`,
  )
  return { consistency }
}

const tries = 3

/** Waits for the copy. One that has ended unseen is begun anew, of a later moment. */
async function follow(part: Part, begun: Copied, onProgress: (done: number) => void): Promise<Copied> {
  const { op, input } = part
  const vm = await vmRecords.require(input.source)
  const copies = copiesOf(vm)
  let copied = begun
  if (!begunIn.has(runOf(op)) && !(await copies.isUnderWay(vm, op.id))) copied = await begin(part)
  for (let tried = 1; !(await copies.wait(vm, op.id, { signal: op.signal, onProgress })); tried++) {
    if (tried === tries) throw new ConflictError(`The hypervisor does not tell whether the copy of '${vm.id}' is whole`)
    copied = await begin(part)
  }
  begunIn.delete(runOf(op))
  return copied
}

async function undo({ op, input: { source, vm: clone }, disks }: Part): Promise<void> {
  const vm = await vmRecords.require(source)
  await copiesOf(vm).abort(vm, op.id)
  begunIn.delete(runOf(op))
  for (const { target } of disks) await takeBack(target, pathOf(clone.id))
}

/** Copies disks of a guest that runs, in steps. @param onProgress hears of the bytes, empty or not */
export async function copyRunning(
  op: Op,
  input: CloneInput,
  disks: ClonedDisk[],
  onProgress: (doneBytes: number) => void,
): Promise<Disk[]> {
  if (disks.length === 0) return []
  const part = { op, input, disks }
  const begun = await op.step('cloning_disk begin', () => begin(part), { undo: () => undo(part) })
  await op.step('cloning_disk', () => follow(part, begun, onProgress))
  const places = disks.map(({ target: { pool: id, volume } }) => ({ id, volume }))
  const { data } = await op.step('cloning_disk in place', () =>
    call(
      volumesInternal,
      'commitCopyTargets',
      { copy: op.id, owner: pathOf(input.vm.id), disks: places },
      { timeoutMs: 60_000 },
    ),
  )
  return disks.map(({ target }, index) => {
    const { path, format, size_bytes } = data[index]!
    return { ...target, path, format, size_bytes }
  })
}
