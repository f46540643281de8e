import { requireRight } from '#shared/access/require-right.ts'
import { allPages } from '#shared/bus/all-pages.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { CrossClonePlan } from '#shared/contracts/vm/clones.ts'
import type { vms } from '#shared/contracts/vm/vms.ts'
import { alreadyExists, UnavailableError, type Violation } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { Accepting } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { planned, requirePlan } from '#shared/service/plan.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { hostnameOf } from '../../cloudinit/hostname.ts'
import { checkNetwork } from '../../cloudinit/network.ts'
import { driverOf } from '../../drivers/drivers.ts'
import { checkMacs, macKeyOf, newMacs } from '../../hardware/macs.ts'
import { requirePaths } from '../../hardware/paths.ts'
import { preparedInRoom } from '../../lifecycle/quota-reservation.ts'
import { requireStorage } from '../../lifecycle/require-storage.ts'
import { apiPathOf, nameKeyOf, type VmRecord, vmRecords } from '../../model.ts'
import { recordOf, sourceOf } from '../accept.ts'
import type { ClonedDisk } from '../disks.ts'
import type { CloneInput } from '../input.ts'
import { placeAcross } from './place.ts'

type Given = Omit<Params<typeof vms, 'cloneCrossNode'>, 'plan'>
type Planned = { plan: CrossClonePlan; input: CloneInput | null; macs: string[] }
type Source = Awaited<ReturnType<typeof sourceOf>>

/** The target node; undefined, with violations, when no VM can be made there. */
async function targetOf(given: Given, from: string, violations: Violation[]): Promise<Reached | undefined> {
  const { target_node: id, source_node, ssh_port, ssh_user } = given
  const refuse = (field: string, code: string, message: string) => violations.push({ field, code, message })
  if (source_node !== undefined && source_node !== from) refuse('source_node', 'other', `it is on node '${from}'`)
  if (id === from) refuse('target_node', 'same', `it is on node '${id}' already: use POST /api/vms/${given.vm}/clone`)
  const node = await checking('target_node', violations, () => call(nodes, 'get', { id }))
  if (!node || id === from) return undefined
  if (node.maintenance) refuse('target_node', 'maintenance', `node '${id}' is in maintenance`)
  if (node.status !== 'online') {
    refuse(
      'target_node',
      'offline',
      `node '${id}' is ${node.status}${node.status_reason ? `: ${node.status_reason}` : ''}`,
    )
    return undefined
  }
  const reached = await reach(id)
  const { kind, port, user } = reached.node
  const registered = { ssh_port: kind === 'ssh' ? port : undefined, ssh_user: kind === 'ssh' ? user : undefined }
  for (const [field, value] of Object.entries({ ssh_port, ssh_user })) {
    const known = registered[field as keyof typeof registered]
    if (value !== undefined && value !== known)
      refuse(field, 'other', `node '${id}' is registered with ${known ?? 'no SSH'}: leave it out`)
  }
  return reached
}

/** The source, with a violation for everything that keeps it from being copied. */
async function copyableSource(given: Given, violations: Violation[]): Promise<Source | undefined> {
  const origin = { id: given.vm, privilege: 'VmConfig' as const }
  const source = await checking('vm', violations, () => sourceOf(origin, given.snapshot, 'full', violations))
  if (source && given.snapshot === undefined && source.status !== 'stopped')
    violations.push({
      field: 'vm',
      code: 'running',
      message: `it is ${source.status}: shut it down, or take a snapshot and name it in snapshot`,
    })
  return source
}

/** Violations of the guest on its node to be. It has the accelerator of that one. */
async function describedAt(vm: CloneInput['vm'], source: VmRecord, target: Reached, violations: Violation[]) {
  const driver = driverOf(vm)
  const { accel } = await driver.defaults(target, vm)
  const there = { ...vm, accel }
  violations.push(...(await driver.check(target, there)))
  violations.push(...((await driver.firmware?.lacking(source, target)) ?? []))
  await requirePaths(target, { iso: vm.iso, ...vm.boot }, violations)
  return there
}

/** Measures the disks, and checks their way to the other node. */
async function checkDisks(disks: ClonedDisk[], source: Source, given: Given, violations: Violation[]) {
  const { target_node, snapshot } = given
  const asked = disks.map(({ source: from, target }) => ({
    id: from.pool,
    volume: from.volume,
    ...(snapshot !== undefined && { snapshot }),
    pool: target.pool,
    name: target.volume,
    format: target.format,
  }))
  const words = { source_node: source.node, target_node, disks: asked }
  const found = await call(volumesInternal, 'checkAcross', words, { timeoutMs: 120_000 })
  violations.push(...found.violations)
  return found.data_bytes
}

function shown({ source, target, isSent }: ClonedDisk, data_bytes: number | null): CrossClonePlan['disks'][number] {
  const { id, pool: source_pool, volume: source_volume, size_bytes } = source
  const { pool, format } = target
  return { id, source_pool, source_volume, pool, format, size_bytes, data_bytes, is_sent: isSent === true }
}

/** Plans a clone on another node, with every violation at once. Changes nothing. @throws NotFoundError for no such VM */
export async function planAcross(given: Given, id: string): Promise<Planned> {
  const violations: Violation[] = []
  const { node: from } = await vmRecords.require(given.vm)
  const [source, target] = await Promise.all([
    copyableSource(given, violations),
    targetOf(given, from, violations).catch((error: unknown) => {
      if (!(error instanceof UnavailableError)) throw error
      violations.push({ field: 'target_node', code: 'unreachable', message: error.message })
      return undefined
    }),
  ])
  await checkOptions(given, id, source, violations)
  const answer = (disks: CrossClonePlan['disks']): CrossClonePlan => {
    const effects = { vm_id: given.vm, source_node: from, target_node: given.target_node, disks, violations }
    const bytes_to_copy = disks.reduce((sum, { data_bytes }) => sum + (data_bytes ?? 0), 0)
    return planned({ ...effects, is_possible: violations.length === 0, bytes_to_copy }, effects)
  }
  if (!source || !target) return { plan: answer([]), input: null, macs: [] }
  const placed = placeAcross(source.disks, await allPages((page) => call(pools, 'list', page)), {
    id,
    node: given.target_node,
    pool: given.pool,
  })
  violations.push(...placed.violations)
  const bytes = await checkDisks(placed.disks, source, given, violations)
  const macs = given.mac_addresses ?? (await newMacs(source.nics.length))
  const record = { ...recordOf(source, id, given, macs), node: given.target_node }
  const vm = await describedAt(record, source, target, violations)
  const plan = answer(placed.disks.map((disk, index) => shown(disk, bytes[index] ?? null)))
  return { plan, macs, input: inputOf(given, vm, placed.disks, from) }
}

/** Violations of the request's own fields. */
async function checkOptions(given: Given, id: string, source: Source | undefined, violations: Violation[]) {
  const { resource_pool, mac_addresses, network_config, name } = given
  if (given.id !== undefined && (await vmRecords.get(id)))
    violations.push({ field: 'id', code: 'taken', message: `${id} already exists` })
  if (await vmRecords.find({ name }))
    violations.push({ field: 'name', code: 'taken', message: `${name} already exists` })
  if (resource_pool !== undefined)
    await checking('resource_pool', violations, () => call(resourcePools, 'get', { id: resource_pool }))
  if (source && mac_addresses) violations.push(...(await checkMacs(mac_addresses, source.nics.length)))
  if (!network_config) return
  if (source) violations.push(...checkNetwork(network_config, source.nics.length))
  hostnameOf(name, network_config.hostname, { field: 'network_config.hostname', violations })
}

function inputOf(given: Given, vm: CloneInput['vm'], disks: ClonedDisk[], from: string): CloneInput {
  const { network_config, name, snapshot, bandwidth_limit_mbps: mbps, compression_enabled, start = false } = given
  const network = network_config
    ? { ...network_config, hostname: hostnameOf(name, network_config.hostname, { field: '', violations: [] }) }
    : null
  return {
    source: given.vm,
    mode: 'full',
    vm,
    disks,
    network,
    start,
    ...(snapshot !== undefined && { snapshot }),
    across: {
      from,
      isCompressed: compression_enabled,
      // 1 Mbit is 125,000 bytes.
      bytesPerSecond: mbps === undefined ? null : mbps * 125_000,
    },
  }
}

/** Checks a clone on another node completely, and locks its id, name, addresses and source. */
export async function acceptAcross(given: Given, accepting: Accepting): Promise<CloneInput> {
  requireRight(accepting, 'VmConfig', apiPathOf(given.vm))
  const id = given.id ?? newId()
  await accepting.hold(apiPathOf(id))
  await accepting.reserve(nameKeyOf(given.name))
  await accepting.share(apiPathOf(given.vm))
  if (await vmRecords.get(id)) throw alreadyExists(id, { field: 'id' })
  if (await vmRecords.find({ name: given.name })) throw alreadyExists(given.name, { field: 'name' })
  const { plan, input, macs } = await planAcross(given, id)
  requirePlan(plan)
  throwAll(plan.violations)
  // Without violations there is an input.
  const complete = input!
  requireStorage(
    accepting,
    complete.disks.map(({ target }) => target.pool),
  )
  await accepting.reserve(...macs.map(macKeyOf))
  if (given.resource_pool === undefined) return complete
  return preparedInRoom(given.resource_pool, complete.vm, accepting.operationId, async () => complete)
}

/** The plan for a caller who may copy the source. */
export async function showPlan(given: Given, asked: Call): Promise<CrossClonePlan> {
  requireRight(asked, 'VmConfig', apiPathOf(given.vm))
  return (await planAcross(given, given.id ?? newId())).plan
}
