import type { Contract } from '#shared/contract.ts'
import { audit } from '#shared/contracts/audit.ts'
import { auth } from '#shared/contracts/auth.ts'
import { cloneJobs } from '#shared/contracts/clone-jobs.ts'
import { clonePresets } from '#shared/contracts/clone-presets.ts'
import { cloudinit } from '#shared/contracts/cloudinit.ts'
import { consoles } from '#shared/contracts/consoles.ts'
import { devices } from '#shared/contracts/vm-devices.ts'
import { groups } from '#shared/contracts/groups.ts'
import { guests } from '#shared/contracts/vm-guests.ts'
import { nodes } from '#shared/contracts/nodes.ts'
import { operations } from '#shared/contracts/operations.ts'
import { permissions } from '#shared/contracts/permissions.ts'
import { pools } from '#shared/contracts/pools.ts'
import { resourcePools } from '#shared/contracts/resource-pools.ts'
import { roles } from '#shared/contracts/roles.ts'
import { templates } from '#shared/contracts/templates.ts'
import { users } from '#shared/contracts/users.ts'
import { vms } from '#shared/contracts/vms.ts'
import { volumes } from '#shared/contracts/volumes.ts'

/** Every contract that there is: routes, OpenAPI and clients are made from this list. */
export const contracts: readonly Contract[] = [
  auth,
  users,
  roles,
  permissions,
  groups,
  resourcePools,
  nodes,
  pools,
  volumes,
  vms,
  devices,
  guests,
  cloudinit,
  cloneJobs,
  templates,
  clonePresets,
  consoles,
  operations,
  audit,
]
