import { call } from '#shared/call.ts'
import type { Params } from '#shared/contract.ts'
import type { Disk } from '#shared/contracts/vm-hardware.ts'
import type { Vm, vms } from '#shared/contracts/vms.ts'
import { volumes } from '#shared/contracts/volumes.ts'
import { alreadyExists, NotFoundError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { reach } from '#shared/nodes.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { driverOf } from './drivers/drivers.ts'
import { domainUuidOf, nameKeyOf, pathOf, type VmRecord, viewOf, vmRecords } from './model.ts'
import { planDisks, type PlannedDisk, planNics, requirePaths, throwAll } from './plan.ts'
import { settle } from './status.ts'

type Given = Params<typeof vms, 'create'>
type Input = { vm: Omit<VmRecord, 'version'>; disks: PlannedDisk[]; start: boolean }

async function accept(
  { id = newId(), start, disks, nics, ...given }: Given,
  { hold, reserve }: Accepting,
): Promise<Input> {
  const { iso = null, boot = null } = given as Partial<Pick<Vm, 'iso' | 'boot'>>
  await hold(pathOf(id))
  await reserve(nameKeyOf(given.name))
  if (await vmRecords.get(id)) throw alreadyExists(id, { field: 'id' })
  if (await vmRecords.find({ name: given.name })) throw alreadyExists(given.name, { field: 'name' })

  const { reached, violations } = await requireNode(given.node)
  const planned = await planDisks(id, given.node, disks, violations)
  const planned_nics = await planNics(nics, violations)
  if (reached) {
    await requirePaths(reached, { iso, ...boot }, violations)
    const wanted = { ...given, boot, disks: planned.map(({ disk }) => disk) }
    violations.push(...(await driverOf(given).check(reached, wanted)))
  }
  throwAll(violations)

  const at = now()
  const vm = {
    ...given,
    id,
    iso,
    seed: null,
    boot,
    disks: planned.map(({ disk }) => disk),
    nics: planned_nics,
    accel: reached?.node.accel ?? 'tcg',
    status: 'stopped' as const,
    status_reason: null,
    desired_state: start ? ('running' as const) : ('stopped' as const),
    pending_restart: false,
    template: false,
    created_at: at,
    updated_at: at,
    domain_uuid: domainUuidOf(id),
    defined: true,
  }
  return { vm, disks: planned, start }
}

/** The node, or the violation that it is not one that a guest can be made on. */
async function requireNode(id: string) {
  try {
    const reached = await reach(id)
    const violations = reached.node.maintenance
      ? [{ field: 'node', code: 'maintenance', message: `'${id}' is in maintenance` }]
      : []
    return { reached, violations }
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    return { reached: undefined, violations: [{ field: 'node', code: 'not_found', message: error.message }] }
  }
}

async function run(op: Op, { vm, disks, start }: Input): Promise<Vm> {
  const made: Disk[] = []
  for (const planned of disks)
    made.push(
      await op.step(`allocating disk ${planned.disk.id}`, () => allocate(vm.id, planned), {
        undo: () => giveBack(vm.id, planned),
      }),
    )
  const complete = { ...vm, disks: made }
  const driver = driverOf(vm)
  await op.step('defining domain', () => driver.define(complete), { undo: () => driver.undefine(vm) })
  const named = { vm_id: vm.id, name: vm.name, timestamp: now() }
  await op.step(
    'registering',
    async () => {
      if (!(await vmRecords.get(vm.id))) await vmRecords.insert(complete)
      op.emit(event('VmCreated', named))
    },
    {
      undo: async () => {
        if ((await vmRecords.removeWhere({ _id: vm.id })) > 0) op.emit(event('VmDeleted', named))
      },
    },
  )
  if (start) await op.step('starting domain', () => driver.start(vm), { undo: () => driver.stop(vm) })
  return viewOf(await settle(vm.id))
}

async function allocate(vmId: string, { disk, isNew }: PlannedDisk): Promise<Disk> {
  const { pool: id, volume, size_bytes: size, format } = disk
  const owner = pathOf(vmId)
  const made = isNew
    ? await call(volumes, 'createFor', { id, name: volume, size, format, owner }, { timeoutMs: 60_000 })
    : await call(volumes, 'attach', { id, volume, owner })
  return { ...disk, path: made.path, format: made.format, size_bytes: made.size_bytes }
}

const giveBack = (vmId: string, { disk: { pool: id, volume }, isNew }: PlannedDisk) =>
  call(volumes, isNew ? 'deleteFor' : 'detach', { id, volume, owner: pathOf(vmId) })

export const create = operation({ accept, run })
