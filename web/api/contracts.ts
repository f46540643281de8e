import type { Action, Contract, Params, Result } from '#shared/contract/contract.ts'
import type { auth } from '#shared/contracts/access/auth.ts'
import type { groups } from '#shared/contracts/access/groups.ts'
import type { permissions } from '#shared/contracts/access/permissions.ts'
import type { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { roles } from '#shared/contracts/access/roles.ts'
import type { users } from '#shared/contracts/access/users.ts'
import type { drains } from '#shared/contracts/cluster/drains.ts'
import type { ha, haGroups, haResources } from '#shared/contracts/cluster/ha.ts'
import type { rehearsals } from '#shared/contracts/cluster/rehearsals.ts'
import type { nodes } from '#shared/contracts/cluster/nodes.ts'
import type { containerBulk } from '#shared/contracts/container/container-bulk.ts'
import type { containers } from '#shared/contracts/container/containers.ts'
import type { images } from '#shared/contracts/container/images.ts'
import type { networkPolicies } from '#shared/contracts/container/network-policies.ts'
import type { networks } from '#shared/contracts/container/networks.ts'
import type { stacks } from '#shared/contracts/container/stacks.ts'
import type { audit } from '#shared/contracts/core/audit.ts'
import type { Operation, operations } from '#shared/contracts/core/operations.ts'
import type { alerts } from '#shared/contracts/metrics/alerts.ts'
import type { monitoring } from '#shared/contracts/metrics/monitoring.ts'
import type { migrations } from '#shared/contracts/migration/migrations.ts'
import type { backupFiles } from '#shared/contracts/storage/backup-files.ts'
import type { backupJobs } from '#shared/contracts/storage/backup-jobs.ts'
import type { backupStoreKeys } from '#shared/contracts/storage/backup-keys.ts'
import type { replicas } from '#shared/contracts/storage/replicas.ts'
import type { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import type { backups } from '#shared/contracts/storage/backups.ts'
import type { containerBackups } from '#shared/contracts/storage/container-backups.ts'
import type { pools } from '#shared/contracts/storage/pools.ts'
import type { uploads } from '#shared/contracts/storage/uploads.ts'
import type { volumeDownloads } from '#shared/contracts/storage/volume-downloads.ts'
import type { volumes } from '#shared/contracts/storage/volumes.ts'
import type { cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import type { consoles } from '#shared/contracts/vm/consoles.ts'
import type { devices } from '#shared/contracts/vm/devices.ts'
import type { guests } from '#shared/contracts/vm/guests.ts'
import type { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import type { snapshots } from '#shared/contracts/vm/snapshots.ts'
import type { templates } from '#shared/contracts/vm/templates.ts'
import type { vmAdoptions } from '#shared/contracts/vm/vm-adoptions.ts'
import type { vmImports } from '#shared/contracts/vm/vm-imports.ts'
import type { proxmoxImports } from '#shared/contracts/vm/proxmox-imports.ts'
import type { vmBulk } from '#shared/contracts/vm/vm-bulk.ts'
import type { vms } from '#shared/contracts/vm/vms.ts'

/** The contracts that the page calls, by name. Types only: no code of the server is in the page. */
type Contracts = {
  alerts: typeof alerts
  audit: typeof audit
  auth: typeof auth
  'backup-files': typeof backupFiles
  'backup-jobs': typeof backupJobs
  'backup-store-keys': typeof backupStoreKeys
  backups: typeof backups
  'container-backups': typeof containerBackups
  cloudinit: typeof cloudinit
  consoles: typeof consoles
  'container-bulk': typeof containerBulk
  containers: typeof containers
  devices: typeof devices
  drains: typeof drains
  rehearsals: typeof rehearsals
  groups: typeof groups
  guests: typeof guests
  ha: typeof ha
  'ha-groups': typeof haGroups
  'ha-resources': typeof haResources
  images: typeof images
  migrations: typeof migrations
  monitoring: typeof monitoring
  'network-policies': typeof networkPolicies
  networks: typeof networks
  nodes: typeof nodes
  operations: typeof operations
  permissions: typeof permissions
  pools: typeof pools
  replicas: typeof replicas
  'replication-jobs': typeof replicationJobs
  'resource-pools': typeof resourcePools
  roles: typeof roles
  'snapshot-schedules': typeof snapshotSchedules
  snapshots: typeof snapshots
  stacks: typeof stacks
  templates: typeof templates
  uploads: typeof uploads
  users: typeof users
  'vm-bulk': typeof vmBulk
  'vm-adoptions': typeof vmAdoptions
  'vm-imports': typeof vmImports
  'proxmox-imports': typeof proxmoxImports
  vms: typeof vms
  'volume-downloads': typeof volumeDownloads
  volumes: typeof volumes
}

type Named = {
  [C in keyof Contracts]: {
    [K in keyof Contracts[C]['actions'] & string as `${C}.${K}`]: [Contracts[C], K]
  }
}
type Flat = { [C in keyof Named]: (x: Named[C]) => void }[keyof Named] extends (x: infer All) => void ? All : never
export type ActionName = keyof Flat & string
export type ListName = Extract<ActionName, `${string}.list` | 'alerts.active' | 'alerts.rules' | 'alerts.silences'>

/** Parameters as a client may send them: fields with a default can be left out. */
type Given<T> = T extends readonly (infer I)[]
  ? Given<I>[]
  : T extends object
    ? { [K in keyof T]?: Given<T[K]> | undefined }
    : T

type Pair<N extends ActionName> = Flat[N] extends [infer C extends Contract, infer K extends string]
  ? K extends keyof C['actions']
    ? [C, K, C['actions'][K]]
    : never
  : never
export type ParamsOf<N extends ActionName> =
  Pair<N> extends [infer C extends Contract, infer K, infer _A extends Action]
    ? K extends keyof C['actions']
      ? Given<Params<C, K>>
      : never
    : never
/** The answer of an action; an operation answers with its record. */
export type ResultOf<N extends ActionName> =
  Pair<N> extends [infer C extends Contract, infer K, infer A]
    ? A extends { operation: true }
      ? Operation
      : K extends keyof C['actions']
        ? Result<C, K>
        : never
    : never
export type ItemOf<N extends ActionName> = ResultOf<N> extends { data: (infer I)[] } ? I : never
