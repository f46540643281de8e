import { call } from '#shared/bus/call.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { CloneParams } from '#shared/contracts/vm/clones.ts'
import { nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { CloneMode } from '#shared/contracts/storage/volumes.ts'
import { alreadyExists, ConflictError, type Violation } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { Accepting } from '#shared/operation/kinds.ts'
import type { Privilege } from '#shared/access/privileges.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { hostnameOf } from '../cloudinit/hostname.ts'
import { checkNetwork } from '../cloudinit/network.ts'
import { driverOf } from '../drivers/drivers.ts'
import { waiting } from '../hardware/hardware.ts'
import { nameKeyOf, apiPathOf, type VmRecord, vmRecords } from '../model.ts'
import { newDeviceId } from '../hardware/devices/named.ts'
import { requireNoForeign } from '../hardware/foreign.ts'
import { isInPool } from '../hardware/plan.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { preparedInRoom } from '../lifecycle/quota-reservation.ts'
import { requireStorage } from '../lifecycle/require-storage.ts'
import { requireStatus, settle } from '../state/status.ts'
import { planClonedDisks } from './disks.ts'
import { asOfSnapshot } from './of-snapshot.ts'
import { checkMacs, macKeyOf, newMacs } from '../hardware/macs.ts'
import { type CloneOptions, withPreset } from './options.ts'
import type { CloneInput } from './input.ts'
import { copyKeyOf, whileRunning } from './live-clone.ts'

/** The source of a clone, the privilege that it takes there, and the mode unless one is given. */
export type Origin = { id: string; privilege: Privilege; mode?: CloneMode; isTemplate?: true }

/** Checks a clone completely, and locks its id, name, addresses and source. */
export async function acceptClone(origin: Origin, given: CloneParams, accepting: Accepting): Promise<CloneInput> {
  const { hold, share, reserve } = accepting
  requireRight(accepting, origin.privilege, apiPathOf(origin.id))
  const id = given.id ?? newId()
  await hold(apiPathOf(id))
  await reserve(nameKeyOf(given.name))
  await share(apiPathOf(origin.id))
  if (await vmRecords.get(id)) throw alreadyExists(id, { field: 'id' })
  if (await vmRecords.find({ name: given.name })) throw alreadyExists(given.name, { field: 'name' })

  const violations: Violation[] = []
  const options = await withPreset(given, origin.mode, violations)
  const mode = options.mode ?? 'full'
  const source = await sourceOf(origin, given.snapshot, mode, violations)
  const isRunning = given.snapshot === undefined && source.status !== 'stopped'
  if (isRunning) await reserve(copyKeyOf(origin.id))
  const reached = await reach(source.node)
  if (reached.node.maintenance) throw new ConflictError(`Node '${source.node}' is in maintenance`)

  const { mac_addresses, network_config, resource_pool } = options
  if (resource_pool !== undefined)
    await checking('resource_pool', violations, () => call(resourcePools, 'get', { id: resource_pool }))
  if (mac_addresses) violations.push(...(await checkMacs(mac_addresses, source.nics.length)))
  if (network_config) violations.push(...checkNetwork(network_config, source.nics.length))
  const network = network_config
    ? {
        ...network_config,
        hostname: hostnameOf(options.name, network_config.hostname, {
          field: 'network_config.hostname',
          violations,
        }),
      }
    : null
  requireStorage(
    accepting,
    source.disks.filter(isInPool).map(({ pool }) => options.pool ?? pool),
  )
  const disks = await planClonedDisks(source, { id, mode, pool: options.pool, isRunning }, violations)
  const macs = mac_addresses ?? (await newMacs(source.nics.length))
  const vm = recordOf(source, id, options, macs)
  violations.push(...(await lackingFor(vm, reached)))
  throwAll(violations)

  await reserve(...macs.map(macKeyOf))
  const start = options.start ?? false
  const input = { source: source.id, mode, vm, disks, network, start, isRunning, ...ofSnapshot(given) }
  if (resource_pool === undefined) return input
  return preparedInRoom(resource_pool, vm, accepting.operationId, async () => input)
}

const ofSnapshot = ({ snapshot }: Pick<CloneParams, 'snapshot'>) => (snapshot === undefined ? {} : { snapshot })

/** The source as it is copied: as it is now, or as it was at a snapshot. */
export async function sourceOf(origin: Origin, snapshot: string | undefined, mode: CloneMode, violations: Violation[]) {
  if (snapshot === undefined) return requireCloneable(origin, mode)
  const source = await asOfSnapshot(origin.id, snapshot, mode, violations)
  if (origin.isTemplate) requireTemplate(source)
  return source
}

/** Violations of the node for the fields in which a clone differs from its source. */
async function lackingFor(vm: CloneInput['vm'], reached: Reached): Promise<Violation[]> {
  const lacking = await driverOf(vm).check(reached, vm)
  const isOther = ({ field }: Violation) => ['name', 'cpus', 'max_cpus'].includes(field)
  // A clone is a machine of its own kind, which has no IDE: its definition would be refused after the copying.
  const isBus = ({ field }: Violation) =>
    vm.disks.some(({ bus }, index) => field === `disks.${index}.bus` && bus === 'ide')
  return lacking.filter((violation) => isOther(violation) || isBus(violation))
}

/** @throws ConflictError for a source that cannot be copied in its state, or has disks outside storage pools */
async function requireCloneable({ id, isTemplate }: Origin, mode: CloneMode) {
  const source = await settle(id)
  if (isTemplate) requireTemplate(source)
  requireStatus(source, 'clone', ['stopped', ...whileRunning])
  if (source.status !== 'stopped') requireCopyable(source, mode)
  if (mode === 'linked') requireTemplate(source)
  const obstacles = (await driverOf(source).hostState?.cloneObstacles(source)) ?? []
  if (obstacles.length > 0)
    throw new ConflictError(`Virtual machine '${id}' cannot be cloned: ${obstacles.join('; ')}`, {
      details: { obstacles },
    })
  await requireNoForeign(source, 'clone')
  const { disks } = source
  if (disks.every(isInPool)) return { ...source, disks }
  const lone = disks.filter((disk) => !isInPool(disk)).map(({ source }) => nameOfSource(source))
  throw new ConflictError(`Virtual machine '${id}' has disks outside every storage pool: ${lone.join(', ')}`)
}

/** @throws ConflictError for a running guest that must be off for this */
function requireCopyable(source: VmRecord, mode: CloneMode): void {
  const { id, status, hypervisor, pending } = source
  const details = { status, allowed: ['stopped'] }
  const [is, shutdown] = [`Virtual machine '${id}' is ${status}`, `POST /api/vms/${id}/shutdown`]
  const refuse = (why: string) => new ConflictError(`${is}: ${why}. Shut it down first, with ${shutdown}`, { details })
  if (mode === 'linked')
    throw new ConflictError(
      `${is}: a linked clone would read disks that it writes. Clone it with mode full; or shut it down (${shutdown}) and make a template of it (POST /api/templates)`,
      { details },
    )
  if (!driverOf(source).copies) throw refuse(`${hypervisor} copies no disks of a guest that runs`)
  if (pending.some(({ field }) => field === 'disks')) throw refuse('it has other disks from its next start on')
}

function requireTemplate({ id, template }: VmRecord): void {
  if (template) return
  throw new ConflictError(
    `Virtual machine '${id}' is no template: it would write what its linked clones read. Turn it into a template first (POST /api/templates), or clone it with mode full`,
    { details: { template: false } },
  )
}

/** The record of the clone: the source's, with identity, addresses and state of its own. */
export function recordOf(
  source: VmRecord,
  id: string,
  {
    name,
    description,
    cpus,
    memory,
    tags,
    start,
  }: Pick<CloneOptions, 'name' | 'description' | 'cpus' | 'memory' | 'tags' | 'start'>,
  macs: string[],
): CloneInput['vm'] {
  // Neither the lease nor the move of the source is the clone's.
  const { version: _, ha: _h, moving: _m, ...kept } = source
  const at = now()
  return {
    ...kept,
    id,
    name,
    description: description ?? source.description,
    cpus: cpus ?? source.cpus,
    memory: memory ?? source.memory,
    tags: tags ?? source.tags,
    nics: source.nics.map((nic, index) => Object.assign({}, nic, { mac: macs[index]!, device_id: newDeviceId() })),
    boot_order:
      source.boot_order?.map((name) => macs[source.nics.findIndex(({ mac }) => mac === name)] ?? name) ?? null,
    // Topology and limits of other sizes do not fit.
    ...(cpus !== undefined && cpus !== source.cpus && { topology: null, max_cpus: null }),
    ...(memory !== undefined && memory < (source.balloon ?? 0) && { balloon: null }),
    foreign_disks: [],
    // A seed has the identity of its own guest.
    seed: null,
    status: 'stopped',
    status_reason: null,
    desired_state: start ? 'running' : 'stopped',
    ...waiting([]),
    boot_id: null,
    protected: false,
    template: false,
    created_at: at,
    updated_at: at,
    handle: driverOf(source).naming.handleOf(id),
    defined: true,
  }
}
