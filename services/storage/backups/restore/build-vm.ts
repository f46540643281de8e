import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { NotFoundError } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { waitForEnd } from '#shared/operation/wait.ts'
import { openPool } from '../../pools/open-pool.ts'
import { makeVolume, undoVolume } from '../../volumes/make.ts'
import type { VolumeSpec } from '../../volumes/records.ts'
import { backupRecords } from '../model.ts'
import { manifestOf, openStore } from '../store/open-store.ts'
import { restoreImage } from './images.ts'
import { newVmOf } from './new-vm.ts'

/** A new VM that gets the bytes of a backup. */
export type Building = {
  backup: string
  vm: string
  name: string
  node: string
  keepMacs: boolean
  volumes: VolumeSpec[]
}
export type NewVm = Params<typeof vms, 'create'>

export const unlessMissing = <T>(asked: Promise<T>): Promise<T | null> =>
  asked.catch((error: unknown) => {
    if (error instanceof NotFoundError) return null
    throw error
  })

/** Deletes the VM that a restore has made, with its disks free again. */
export async function undoVm(op: Op, id: string): Promise<void> {
  const operationId = idFrom(`${op.id}/undo vm`)
  if (!(await unlessMissing(call(vms, 'get', { id })))) return
  await call(vms, 'delete', { id, purge: false }, { operationId })
  await waitForEnd(operationId)
}

async function restoreDisks(op: Op, { backup, node, volumes }: Building): Promise<void> {
  const total = (await backupRecords.require(backup)).data_bytes
  let before = 0
  for (const [index, volume] of volumes.entries()) {
    const within = { before, total }
    const fill = async () => {
      const record = await backupRecords.require(backup)
      const [manifest, objects] = [await manifestOf(record), await openStore(record.pool)]
      const made = await makeVolume(volume, null, node)
      await restoreImage(op, objects, manifest.disks[index]!, await openPool(volume.pool, node), made, within)
    }
    await op.step(`restoring disk ${index}`, fill, { undo: () => undoVolume(volume, null) })
    before += (await backupRecords.require(backup)).disks[index]?.data_bytes ?? 0
  }
}

/**
 * Makes a VM of a backup: its disks first, each compared with the backup, then the VM, then UEFI variables and TPM.
 * @param change gives the VM other hardware than that of the backup
 */
export async function buildVm(op: Op, building: Building, change = (request: NewVm): NewVm => request): Promise<Vm> {
  const { backup, vm: id, name, node, keepMacs, volumes } = building
  await restoreDisks(op, building)
  const manifest = await manifestOf(await backupRecords.require(backup))
  const named = volumes.map(({ pool, name: volume }) => ({ pool, volume }))
  const request = change(newVmOf(manifest, { id, name, node, keepMacs, volumes: named }))
  const made = await op.child(vms, 'create', request, { name: 'creating virtual machine', undo: () => undoVm(op, id) })
  const { guest_state } = manifest
  if (guest_state !== null) await op.step('restoring state', () => call(vmBackups, 'putState', { id, guest_state }))
  return made
}
