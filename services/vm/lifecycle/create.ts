import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { Vm, vms } from '#shared/contracts/vm/vms.ts'
import { alreadyExists, NotFoundError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { allocateAll } from './allocate.ts'
import { chooseNode, type Placed } from './choose-node.ts'
import { driverOf, drivers } from '../drivers/drivers.ts'
import { contradictions, waiting } from '../hardware/hardware.ts'
import { macKeyOf } from '../hardware/macs.ts'
import { nameKeyOf, apiPathOf, type VmRecord, viewOf, vmRecords } from '../model.ts'
import { requirePaths } from '../hardware/paths.ts'
import { placesFor, planDisks, type PlannedDisk, planNics, type WantedDisk } from '../hardware/plan.ts'
import { preparedInRoom, type Room, takeRoomIn } from './quota-reservation.ts'
import { requireStorage } from './require-storage.ts'
import { register } from './register.ts'
import { settleAs } from '../state/status.ts'
import { giveSecrets } from '../hardware/secrets.ts'
import { checking, throwAll } from '#shared/service/violations.ts'

export type Given = Params<typeof vms, 'create'>
/** The hardware as the record has it; the contract's own type of it is that of its parts. */
type Wanted = Omit<Given, 'id' | 'start' | 'disks' | 'nics' | 'node'> & Partial<typeof absent>
/** The values of a new guest that neither the request nor the hypervisor names. */
const absent: Pick<
  Vm,
  'balloon' | 'max_cpus' | 'cpu_model' | 'topology' | 'boot_order' | 'graphics' | 'video' | 'iso' | 'boot'
> = {
  balloon: null,
  max_cpus: null,
  cpu_model: null,
  topology: null,
  boot_order: null,
  graphics: [],
  video: 'none',
  iso: null,
  boot: null,
}

type Planned = Omit<VmRecord, 'version' | 'disks'> & { disks: WantedDisk[] }
/** `placed`: the choice of the node, when the request left it open. */
export type Input = { vm: Planned; disks: PlannedDisk[]; start: boolean; room?: Room; placed?: Placed }

export async function accept({ id = newId(), ...given }: Given, accepting: Accepting): Promise<Input> {
  const { resource_pool, disks } = given
  const prepare = () => prepared({ ...given, id }, accepting)
  requireStorage(
    accepting,
    disks.map(({ pool }) => pool),
  )
  if (resource_pool === undefined) return prepare()
  const sizes = disks.map((disk) => ({ size_bytes: ('size' in disk && disk.size) || 0 }))
  return preparedInRoom(resource_pool, { ...given, id, disks: sizes }, accepting.operationId, prepare)
}

async function prepared(given: Given & { id: string }, { hold, reserve }: Accepting): Promise<Input> {
  const { id, name, nics, start } = given
  await hold(apiPathOf(id))
  await reserve(nameKeyOf(name), ...nics.flatMap(({ mac }) => (mac ? [macKeyOf(mac)] : [])))
  if (await vmRecords.get(id)) throw alreadyExists(id, { field: 'id' })
  if (await vmRecords.find({ name })) throw alreadyExists(name, { field: 'name' })

  const { node } = given
  const { plan, placed } =
    node === undefined
      ? await chooseNode(given, (candidate) => planOn(candidate, given))
      : { plan: await planOn(node, given), placed: undefined }
  throwAll(plan.violations)
  // Without a node there is a violation.
  if (!plan.described) throw new NotFoundError(`Node '${node}' not found`)
  await reserve(...plan.described.nics.map(({ mac }) => macKeyOf(mac)))

  const at = now()
  const vm = {
    ...plan.described,
    id,
    seed: null,
    status: 'stopped' as const,
    status_reason: null,
    desired_state: start ? ('running' as const) : ('stopped' as const),
    ...waiting([]),
    boot_id: null,
    template: false,
    created_at: at,
    updated_at: at,
    handle: drivers[given.hypervisor].naming.handleOf(id),
    defined: true,
  }
  return { vm, disks: plan.disks, start, ...(placed && { placed }) }
}

/** Plans a VM on a node, without effects. @returns every violation, and the hardware as it would be there */
export async function planOn(
  node: string,
  { id, start: _s, disks, nics, resource_pool, node: _n, ...wanted }: Given & { id: string },
) {
  const given = { ...absent, ...(wanted as Wanted), node }
  const driver = drivers[given.hypervisor]
  const { reached, violations } = await requireNode(node)
  if (resource_pool !== undefined)
    await checking('resource_pool', violations, () => call(resourcePools, 'get', { id: resource_pool }))
  const places = placesFor(
    driver.naming,
    disks.map(({ bus }) => bus),
  )
  const planned = await planDisks(id, node, disks, violations, { places })
  const planned_nics = await planNics(nics, violations, id)
  const hardware = { ...given, disks: planned.map(({ disk }) => disk), nics: planned_nics }
  violations.push(...contradictions(hardware))
  const described = reached && {
    ...hardware,
    ...(await driver.defaults(reached, given)),
    ...(wanted.firmware && { firmware: wanted.firmware }),
    ...(wanted.cpu_model && { cpu_model: wanted.cpu_model }),
    ...(wanted.graphics && { graphics: given.graphics }),
    ...(wanted.video && { video: wanted.video }),
  }
  if (described) {
    violations.push(...(await driver.check(reached, described)))
    await requirePaths(reached, { iso: given.iso, ...given.boot }, violations)
  }
  return { violations, described, disks: planned }
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

/** Writes the reasons for the node, and against the others, into the log of the operation. */
function tellPlace(op: Op, { node, reason, refused }: Placed): Placed['node'] {
  op.log(`placed on node '${node}': ${reason}`)
  for (const other of refused) op.log(`not on node '${other.node}': ${other.reasons.join('; ')}`)
  return node
}

/** @param whenFilled runs after the disks have their bytes, before the domain is defined: it may refuse them */
export async function run(
  op: Op,
  { vm, disks, start, room, placed }: Input,
  whenFilled?: () => Promise<unknown>,
): Promise<Vm> {
  if (placed) await op.step(`placing on ${placed.node}`, async () => tellPlace(op, placed))
  if (room) await takeRoomIn(op, room)
  const made = await allocateAll(op, vm, disks)
  await whenFilled?.()
  const complete = { ...vm, disks: made }
  const driver = driverOf(vm)
  const define = async () => {
    await giveSecrets(complete)
    await driver.define(complete)
  }
  await op.step('defining domain', define, { undo: () => driver.undefine(vm) })
  await register(op, 'registering', complete)
  if (start) await op.step('starting domain', () => driver.start(vm), { undo: () => driver.stop(vm) })
  return viewOf(await settleAs(vm.id, start ? 'running' : 'stopped'))
}

export const create = operation({ accept, run: (op: Op, input) => run(op, input) })
