import type { Caller } from '#shared/access/access.ts'
import { type Action, type Contract, isOperation, type ServiceName } from '#shared/contract/contract.ts'
import { alerts } from '#shared/contracts/metrics/alerts.ts'
import { audit } from '#shared/contracts/core/audit.ts'
import { auth } from '#shared/contracts/access/auth.ts'
import type { Topic } from '#shared/contracts/core/events.ts'
import { cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import { cloneJobs } from '#shared/contracts/vm/clone-jobs.ts'
import { backupJobs } from '#shared/contracts/storage/backup-jobs.ts'
import { backupStoreKeys } from '#shared/contracts/storage/backup-keys.ts'
import { backups, backupStores } from '#shared/contracts/storage/backups.ts'
import { clonePresets } from '#shared/contracts/vm/clone-presets.ts'
import { consoles } from '#shared/contracts/vm/consoles.ts'
import { containerArchives } from '#shared/contracts/container/container-archives.ts'
import { containerBackups } from '#shared/contracts/storage/container-backups.ts'
import { containerSnapshots } from '#shared/contracts/container/container-snapshots.ts'
import { containerBulk } from '#shared/contracts/container/container-bulk.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { containerStreams } from '#shared/contracts/container/streams.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import { drains } from '#shared/contracts/cluster/drains.ts'
import { gateways } from '#shared/contracts/core/gateways.ts'
import { fencing } from '#shared/contracts/vm/fencing.ts'
import { findings } from '#shared/contracts/vm/findings.ts'
import { groups } from '#shared/contracts/access/groups.ts'
import { contracts } from '#shared/contracts/index.ts'
import { guests } from '#shared/contracts/vm/guests.ts'
import { ha, haGroups, haResources } from '#shared/contracts/cluster/ha.ts'
import { images } from '#shared/contracts/container/images.ts'
import { inventory } from '#shared/contracts/vm/inventory.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { monitoring } from '#shared/contracts/metrics/monitoring.ts'
import { moves } from '#shared/contracts/vm/moves.ts'
import { networkPolicies } from '#shared/contracts/container/network-policies.ts'
import { networks } from '#shared/contracts/container/networks.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { placement, placementRules } from '#shared/contracts/cluster/placement.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { rehearsals } from '#shared/contracts/cluster/rehearsals.ts'
import { prunes } from '#shared/contracts/container/prunes.ts'
import { replicas } from '#shared/contracts/storage/replicas.ts'
import { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { roles } from '#shared/contracts/access/roles.ts'
import { templates } from '#shared/contracts/vm/templates.ts'
import { snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { stacks } from '#shared/contracts/container/stacks.ts'
import { users } from '#shared/contracts/access/users.ts'
import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { vmAdoptions } from '#shared/contracts/vm/vm-adoptions.ts'
import { vmImports } from '#shared/contracts/vm/vm-imports.ts'
import { proxmoxImports } from '#shared/contracts/vm/proxmox-imports.ts'
import { vmBulk } from '#shared/contracts/vm/vm-bulk.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { appliances } from '#shared/contracts/storage/appliances.ts'
import { uploads } from '#shared/contracts/storage/uploads.ts'
import { backupArchives } from '#shared/contracts/storage/backup-archives.ts'
import { backupFiles } from '#shared/contracts/storage/backup-files.ts'
import { volumeDownloads } from '#shared/contracts/storage/volume-downloads.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'

/** A service's place on the bus: everything that it may do there follows from this. */
export type Member = {
  serves: readonly Contract[]
  /** Actions that it calls as itself. */
  calls: readonly string[]
  /** Topics of its own events; every service publishes those of operations. */
  emits?: readonly Topic[]
  /** Calls routed actions in the names of users, and subscribes to every event. */
  isGateway?: true
  /** Shares its samples with its replicas. */
  measures?: true
  /** Creates the JetStream streams when they are missing. */
  keepsStreams?: true
}

const of = <C extends Contract>({ name }: C, ...actions: (keyof C['actions'] & string)[]) =>
  actions.map((action) => `${name}.${action}`)

/**
 * Every service with an identity of its own. `calls` has only actions for people: those for services name their callers
 * in the contract. A test holds both against what the code calls.
 */
const table: Record<ServiceName, Member> = {
  gateway: { serves: [gateways], calls: [], isGateway: true },
  auth: {
    serves: [auth, users, roles, permissions, groups, resourcePools],
    calls: [...of(vms, 'get'), ...of(containers, 'get'), ...of(networks, 'get'), ...of(pools, 'get')],
    emits: ['alerts'],
    keepsStreams: true,
  },
  audit: { serves: [audit], calls: [] },
  cluster: {
    serves: [nodes, placementRules, placement, drains, haGroups, haResources, ha, rehearsals],
    calls: [
      ...of(vms, 'list', 'get'),
      ...of(containers, 'list'),
      ...of(pools, 'list'),
      ...of(monitoring, 'nodes'),
      ...of(migrations, 'start', 'settings'),
      ...of(haResources, 'failover'),
    ],
    emits: ['alerts'],
  },
  storage: {
    serves: [
      pools,
      volumes,
      volumesInternal,
      volumeSnapshots,
      uploads,
      appliances,
      volumeDownloads,
      backups,
      backupFiles,
      backupArchives,
      containerBackups,
      backupStores,
      backupStoreKeys,
      backupJobs,
      replicationJobs,
      replicas,
    ],
    calls: [
      ...of(vms, 'get', 'list', 'create', 'start', 'stop', 'delete', 'serial', 'stats'),
      ...of(guests, 'agent'),
      ...of(snapshots, 'list', 'create', 'delete', 'undoRestore'),
      ...of(resourcePools, 'get'),
      ...of(operations, 'cancel'),
      ...of(backups, 'delete', 'prove'),
      ...of(containers, 'get', 'pause', 'resume'),
      ...of(containerArchives, 'describe', 'open', 'list', 'foreseeNew', 'foreseeSame', 'build', 'replace'),
      ...of(containerStreams, 'read', 'close'),
      ...of(backupStores, 'prove', 'collect'),
    ],
    emits: ['backups'],
  },
  vm: {
    serves: [
      vms,
      vmBulk,
      vmAdoptions,
      vmImports,
      proxmoxImports,
      vmBackups,
      devices,
      guests,
      cloudinit,
      templates,
      cloneJobs,
      clonePresets,
      consoles,
      moves,
      fencing,
      findings,
      inventory,
      snapshots,
      snapshotSchedules,
      snapshotQuotas,
    ],
    calls: [
      ...of(nodes, 'get'),
      ...of(resourcePools, 'get'),
      ...of(pools, 'get', 'list'),
      ...of(volumes, 'get'),
      ...of(operations, 'cancel'),
      ...of(vms, 'start', 'shutdown', 'stop', 'restart', 'reset', 'pause', 'resume', 'delete', 'adopt'),
    ],
    emits: ['vm:status', 'vm:events', 'migrations'],
  },
  container: {
    serves: [
      containers,
      containerBulk,
      containerStreams,
      images,
      containerSnapshots,
      containerArchives,
      prunes,
      stacks,
      networks,
      networkPolicies,
    ],
    calls: [
      ...of(resourcePools, 'get', 'list'),
      ...of(vms, 'list'),
      ...of(guests, 'agent'),
      ...of(containers, 'start', 'stop', 'restart', 'pause', 'resume', 'delete'),
      ...of(backupArchives, 'describe', 'open'),
      ...of(backupFiles, 'read', 'close'),
    ],
    emits: ['container:status', 'container:events', 'alerts'],
  },
  migration: {
    serves: [migrations],
    calls: [
      ...of(vms, 'get'),
      ...of(pools, 'list'),
      ...of(volumes, 'get'),
      ...of(nodes, 'get'),
      ...of(operations, 'cancel'),
      ...of(migrations, 'start'),
    ],
    emits: ['migrations'],
  },
  metrics: {
    serves: [monitoring, alerts],
    calls: [
      ...of(operations, 'list'),
      ...of(audit, 'verify'),
      ...of(resourcePools, 'list'),
      ...of(snapshotQuotas, 'summary'),
      ...of(backupJobs, 'summary'),
      ...of(replicationJobs, 'summary'),
      ...of(networkPolicies, 'list'),
    ],
    emits: ['node:metrics', 'vm:metrics', 'container:metrics', 'alerts'],
    measures: true,
  },
}

const isCaller = (name: ServiceName, action: Action) =>
  'callers' in action && (action.callers === 'all' || action.callers.includes(name))

/** The actions for services that name a service among their callers. */
const internalCallsOf = (name: ServiceName): string[] =>
  contracts.flatMap((contract) =>
    Object.entries(contract.actions)
      .filter(([, action]) => isCaller(name, action))
      .map(([key]) => `${contract.name}.${key}`),
  )

/** The identity of a process that has all services in it, as `npm start` has; it may do everything. */
export const wholeName = 'horcrux'
export const memberNames: readonly string[] = Object.keys(table)

/** @throws Error for a name that has no line in the table */
export function memberOf(name: string): Member {
  if (!Object.hasOwn(table, name))
    throw new Error(
      `'${name}' has no identity on the bus: it needs a line in shared/bus/identity/service-permissions.ts`,
    )
  const service = name as ServiceName
  const member = table[service]
  // Every process reads the journal of operations and answers for it.
  return { ...member, serves: [...member.serves, operations], calls: [...member.calls, ...internalCallsOf(service)] }
}

const members = new Map(memberNames.map((name) => [name, memberOf(name)]))

/** The topics of the events that a member may publish. */
export const emittedBy = ({ emits = [] }: Member): readonly Topic[] => ['operations', 'changes', ...emits]

/** The contracts with work for a queue. */
export const queuedBy = ({ serves }: Member) =>
  serves.filter(({ actions }) => Object.values(actions).some(isOperation)).map(({ name }) => name)

/** Every action that users reach through the gateway: those with a route, and the parts of routes whose bodies are streams. */
export const routed = contracts.flatMap((contract) =>
  Object.entries(contract.actions)
    .filter(([, { can }]) => can !== 'service')
    .map(([key]) => `${contract.name}.${key}`),
)
const isRouted = new Set(routed)

/** Checks that an identity may call an action; NATS enforces the same. */
export function maySend(name: string, action: string): boolean {
  if (name === wholeName) return true
  const member = members.get(name)
  return member !== undefined && (member.calls.includes(action) || (member.isGateway === true && isRouted.has(action)))
}

/**
 * Checks that an identity may call an action in this caller's name. A service calls as itself, by its line in the
 * table. Only the gateway calls in the name of users, known or anonymous, and no actions for services.
 */
export function maySpeak(name: string, action: string, { can }: Action, caller: Caller): boolean {
  if (name === wholeName) return true
  const member = members.get(name)
  if (!member) return false
  if (caller.kind !== 'service') return member.isGateway === true && can !== 'service'
  const isItself = caller.name === name || member.serves.some((contract) => contract.name === caller.name)
  return isItself && member.calls.includes(action)
}

/** Checks that an identity serves a contract. */
export const mayServe = (name: string, contract: string) =>
  name === wholeName || members.get(name)?.serves.some((served) => served.name === contract) === true
