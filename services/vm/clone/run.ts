import { call } from '#shared/call.ts'
import type { Disk } from '#shared/contracts/vm-hardware.ts'
import type { Vm } from '#shared/contracts/vms.ts'
import { volumes } from '#shared/contracts/volumes.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { networkData } from '../cloudinit/network.ts'
import { createSeed, removeSeed, type Seed } from '../cloudinit/seed.ts'
import { driverOf } from '../drivers/drivers.ts'
import { pathOf, viewOf, vmRecords } from '../model.ts'
import { giveRoomBack, takeRoom } from '../room.ts'
import { register } from '../register.ts'
import { requireStatus, settle } from '../status.ts'
import type { CloneInput } from './accept.ts'
import { unlessMissing } from './disks.ts'
import { requireStillFree } from '../macs.ts'

/** Makes a clone. The first word of each step is its stage in the clone's job. */
export async function runClone(op: Op, input: CloneInput): Promise<Vm> {
  const { vm, network, room } = input
  if (room) await op.step('preparing room', () => takeRoom(room), { undo: () => giveRoomBack(room) })
  const sizes = await op.step('preparing', () => prepare(input))
  const disks = await cloneDisks(op, input, sizes)
  const nics = await op.step('generating_macs', async () => {
    await requireStillFree(
      vm.nics.map(({ mac }) => mac),
      vm.id,
    )
    return vm.nics
  })
  let { seed } = vm
  if (network) {
    const macs = nics.map(({ mac }) => mac)
    const documents = await op.step('configuring_network', async () => seedOf(vm.id, network, macs))
    seed = await op.step('creating_cloud_init', () => createSeed(vm, documents), { undo: () => removeSeed(vm) })
  }
  await finalize(op, { ...vm, disks, nics, seed }, input)
  return viewOf(await settle(vm.id))
}

/** The bytes to be copied of each disk; none for a linked clone. */
async function prepare({ source, mode, disks }: CloneInput): Promise<number[]> {
  requireStatus(await settle(source), 'clone', ['stopped'])
  if (mode === 'linked') return disks.map(() => 0)
  const measured = disks.map(({ source: { pool: id, volume } }) =>
    call(volumes, 'measure', { id, volume }, { timeoutMs: 120_000 }),
  )
  return (await Promise.all(measured)).map(({ data_bytes }) => data_bytes)
}

async function cloneDisks(op: Op, { source, mode, vm, disks }: CloneInput, sizes: number[]): Promise<Disk[]> {
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const made: Disk[] = []
  let before = 0
  for (const [index, { source: from, target }] of disks.entries()) {
    const { pool, volume: name, format } = target
    const owner = pathOf(vm.id)
    const { path, size_bytes } = await op.child(
      volumes,
      'cloneFor',
      { id: from.pool, volume: from.volume, source_owner: pathOf(source), mode, pool, name, format, owner },
      {
        name: `cloning_disk ${target.id}`,
        within: { before, total },
        undo: () => takeBack(pool, name, owner),
      },
    )
    made.push({ ...target, path, format, size_bytes })
    before += sizes[index]!
    if (mode === 'full') op.progress(before, total, 'bytes')
  }
  return made
}

/** Deletes a disk of the clone, unless the volume of that name turned out to be another's. */
async function takeBack(id: string, volume: string, owner: string): Promise<void> {
  const there = await unlessMissing(call(volumes, 'get', { id, volume }))
  if (there?.used_by === owner) await call(volumes, 'deleteFor', { id, volume, owner })
}

/** The seed of a clone: a guest that sees a new instance id sets itself up anew. */
function seedOf(id: string, network: NonNullable<CloneInput['network']>, macs: string[]): Seed {
  const { hostname, domain } = network
  return {
    metaData: { 'instance-id': id, 'local-hostname': hostname },
    userData: { preserve_hostname: false, hostname, ...(domain !== undefined && { fqdn: `${hostname}.${domain}` }) },
    networkConfig: networkData(network, macs),
  }
}

async function finalize(op: Op, vm: CloneInput['vm'], { source, start }: CloneInput): Promise<void> {
  const driver = driverOf(vm)
  await op.step('finalizing domain', () => driver.define(vm), { undo: () => driver.undefine(vm) })
  if (vm.firmware === 'uefi')
    await op.step('finalizing firmware', async () => driver.copyFirmware?.(await vmRecords.require(source), vm))
  await register(op, 'finalizing record', vm)
  if (start) await op.step('finalizing start', () => driver.start(vm), { undo: () => driver.stop(vm) })
}
