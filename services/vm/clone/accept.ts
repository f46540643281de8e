import { call } from '#shared/call.ts'
import { resourcePools } from '#shared/contracts/resource-pools.ts'
import type { CloneParams, NetworkConfig } from '#shared/contracts/clones.ts'
import type { CloneMode } from '#shared/contracts/volumes.ts'
import { alreadyExists, ConflictError, type Violation } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { reach } from '#shared/nodes.ts'
import type { Accepting } from '#shared/operation/kinds.ts'
import type { Privilege } from '#shared/privileges.ts'
import { checkNetwork } from '../cloudinit/network.ts'
import { waiting } from '../hardware.ts'
import { domainUuidOf, nameKeyOf, pathOf, type VmRecord, vmRecords } from '../model.ts'
import { checking, isInPool, type Pooled, throwAll } from '../plan.ts'
import { preparedInRoom, requireRight, requireStorage, type Room } from '../room.ts'
import { requireStatus, settle } from '../status.ts'
import { type ClonedDisk, planDisks } from './disks.ts'
import { checkMacs, macKeyOf, newMacs } from '../macs.ts'
import { type CloneOptions, withPreset } from './options.ts'

export type CloneInput = {
  source: string
  mode: CloneMode
  /** The clone as it will be, but for its disks' paths. */
  vm: Omit<VmRecord, 'version'>
  disks: ClonedDisk[]
  network: (NetworkConfig & { hostname: string }) | null
  start: boolean
  room?: Room
}

/** Where clones come from: what the caller must be allowed there, and how they are made unless one says so. */
export type Origin = { id: string; privilege: Privilege; mode?: CloneMode; isTemplate?: true }

/** Checks everything about a clone, and holds what it will be and what it is made from. */
export async function acceptClone(origin: Origin, given: CloneParams, accepting: Accepting): Promise<CloneInput> {
  const { hold, share, reserve } = accepting
  requireRight(accepting, origin.privilege, pathOf(origin.id))
  const id = given.id ?? newId()
  await hold(pathOf(id))
  await reserve(nameKeyOf(given.name))
  await share(pathOf(origin.id))
  if (await vmRecords.get(id)) throw alreadyExists(id, { field: 'id' })
  if (await vmRecords.find({ name: given.name })) throw alreadyExists(given.name, { field: 'name' })
  const source = await requireCloneable(origin)

  const violations: Violation[] = []
  const options = await withPreset(given, origin.mode, violations)
  const mode = options.mode ?? 'full'
  if (mode === 'linked') requireTemplate(source)
  const reached = await reach(source.node)
  if (reached.node.maintenance) throw new ConflictError(`Node '${source.node}' is in maintenance`)

  const { mac_addresses, network_config, resource_pool } = options
  if (resource_pool !== undefined)
    await checking('resource_pool', violations, () => call(resourcePools, 'get', { id: resource_pool }))
  if (mac_addresses) violations.push(...(await checkMacs(mac_addresses, source.nics.length)))
  if (network_config) violations.push(...checkNetwork(network_config, source.nics.length))
  const network = network_config ? { ...network_config, hostname: hostnameOf(options, violations) } : null
  const disks = await planDisks(source, { id, mode, pool: options.pool }, violations)
  throwAll(violations)

  const macs = mac_addresses ?? (await newMacs(source.nics.length))
  await reserve(...macs.map(macKeyOf))
  const vm = recordOf(source, id, options, macs)
  const input = { source: source.id, mode, vm, disks, network, start: options.start ?? false }
  if (resource_pool === undefined) return input
  requireStorage(
    accepting,
    disks.map(({ target }) => target.pool),
  )
  return preparedInRoom(resource_pool, vm, accepting.operationId, async () => input)
}

/** @throws ConflictError while what it writes could be half in the copy: it must be off, for as long as it is copied */
async function requireCloneable({ id, isTemplate }: Origin): Promise<VmRecord & { disks: Pooled[] }> {
  const source = await settle(id)
  if (isTemplate) requireTemplate(source)
  if (source.status === 'running' || source.status === 'paused')
    throw new ConflictError(
      `Virtual machine '${id}' is ${source.status}: its disks change while they are copied. Shut it down first, with POST /api/vms/${id}/shutdown`,
      { details: { status: source.status, allowed: ['stopped'] } },
    )
  requireStatus(source, 'clone', ['stopped'])
  const { disks } = source
  if (disks.every(isInPool)) return { ...source, disks }
  const lone = disks.filter((disk) => !isInPool(disk)).map((disk) => disk.path)
  throw new ConflictError(`Virtual machine '${id}' has disks outside every storage pool: ${lone.join(', ')}`)
}

function requireTemplate({ id, template }: VmRecord): void {
  if (template) return
  throw new ConflictError(
    `Virtual machine '${id}' is no template: it would write what its linked clones read. Turn it into a template first (POST /api/templates), or clone it with mode full`,
    { details: { template: false } },
  )
}

const label = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

function hostnameOf({ name, network_config }: CloneOptions, violations: Violation[]): string {
  const hostname = network_config?.hostname ?? name
  if (!label.test(hostname))
    violations.push({
      field: 'network_config.hostname',
      code: 'required',
      message: `must be given: the name '${name}' is no host name`,
    })
  return hostname
}

/** The source's record, as the clone's: everything that is not its own is kept. */
function recordOf(
  source: VmRecord,
  id: string,
  { name, description, cpus, memory, tags, start }: CloneOptions,
  macs: string[],
): CloneInput['vm'] {
  const { version: _, ...kept } = source
  const at = now()
  return {
    ...kept,
    id,
    name,
    description: description ?? source.description,
    cpus: cpus ?? source.cpus,
    memory: memory ?? source.memory,
    tags: tags ?? source.tags,
    nics: source.nics.map((nic, index) => Object.assign({}, nic, { mac: macs[index]! })),
    boot_order:
      source.boot_order?.map((name) => macs[source.nics.findIndex(({ mac }) => mac === name)] ?? name) ?? null,
    // What was said of other sizes does not hold of these.
    ...(cpus !== undefined && cpus !== source.cpus && { topology: null, max_cpus: null }),
    ...(memory !== undefined && memory < (source.balloon ?? 0) && { balloon: null }),
    // A seed says who its own guest is.
    seed: null,
    status: 'stopped',
    status_reason: null,
    desired_state: start ? 'running' : 'stopped',
    ...waiting([]),
    run: null,
    protected: false,
    template: false,
    created_at: at,
    updated_at: at,
    domain_uuid: domainUuidOf(id),
    defined: true,
  }
}
