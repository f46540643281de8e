import type { Contract } from '#shared/contract/contract.ts'
import { alerts } from '#shared/contracts/metrics/alerts.ts'
import { audit } from '#shared/contracts/core/audit.ts'
import { auth } from '#shared/contracts/access/auth.ts'
import { cloneJobs } from '#shared/contracts/vm/clone-jobs.ts'
import { backupJobs } from '#shared/contracts/storage/backup-jobs.ts'
import { backupStoreKeys } from '#shared/contracts/storage/backup-keys.ts'
import { backups, backupStores } from '#shared/contracts/storage/backups.ts'
import { clonePresets } from '#shared/contracts/vm/clone-presets.ts'
import { cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import { consoles } from '#shared/contracts/vm/consoles.ts'
import { containerArchives } from '#shared/contracts/container/container-archives.ts'
import { containerBackups } from '#shared/contracts/storage/container-backups.ts'
import { containerSnapshots } from '#shared/contracts/container/container-snapshots.ts'
import { containerBulk } from '#shared/contracts/container/container-bulk.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { containerStreams } from '#shared/contracts/container/streams.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import { drains } from '#shared/contracts/cluster/drains.ts'
import { rehearsals } from '#shared/contracts/cluster/rehearsals.ts'
import { gateways } from '#shared/contracts/core/gateways.ts'
import { fencing } from '#shared/contracts/vm/fencing.ts'
import { findings } from '#shared/contracts/vm/findings.ts'
import { groups } from '#shared/contracts/access/groups.ts'
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
import { prunes } from '#shared/contracts/container/prunes.ts'
import { replicas } from '#shared/contracts/storage/replicas.ts'
import { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { roles } from '#shared/contracts/access/roles.ts'
import { snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { stacks } from '#shared/contracts/container/stacks.ts'
import { templates } from '#shared/contracts/vm/templates.ts'
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

/** Every contract that there is: routes, OpenAPI and clients are made from this list. */
export const contracts: readonly Contract[] = [
  auth,
  users,
  roles,
  permissions,
  groups,
  resourcePools,
  nodes,
  placementRules,
  placement,
  drains,
  rehearsals,
  haGroups,
  haResources,
  ha,
  pools,
  volumes,
  volumesInternal,
  volumeSnapshots,
  uploads,
  appliances,
  volumeDownloads,
  backupFiles,
  backupArchives,
  containerBackups,
  backups,
  backupStores,
  backupStoreKeys,
  backupJobs,
  replicationJobs,
  replicas,
  vms,
  vmBulk,
  vmAdoptions,
  vmImports,
  proxmoxImports,
  vmBackups,
  devices,
  guests,
  cloudinit,
  cloneJobs,
  templates,
  snapshots,
  snapshotSchedules,
  snapshotQuotas,
  clonePresets,
  consoles,
  moves,
  migrations,
  containers,
  containerBulk,
  containerStreams,
  images,
  containerSnapshots,
  containerArchives,
  prunes,
  stacks,
  monitoring,
  alerts,
  fencing,
  gateways,
  findings,
  inventory,
  networks,
  networkPolicies,
  operations,
  audit,
]
