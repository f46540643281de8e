/** All privileges. A role is a set of these; a grant gives a role. */
export const privileges = [
  'VmAllocate',
  'VmConfig',
  'VmPowerMgmt',
  'VmSnapshot',
  'VmBackup',
  'VmAudit',
  'VmMigrate',
  'VmConsole',
  'ContainerAllocate',
  'ContainerConfig',
  'ContainerPowerMgmt',
  'ContainerExec',
  'ContainerAudit',
  'ContainerPrivileged',
  'DatastoreAllocate',
  'DatastoreAudit',
  'PoolAllocate',
  'NetworkModify',
  'NetworkAudit',
  'SysModify',
  'SysAudit',
  'UserModify',
] as const

export type Privilege = (typeof privileges)[number]

const startingWith = (prefix: string) => privileges.filter((privilege) => privilege.startsWith(prefix))

/** Built-in roles. They always exist and cannot be changed. */
export const builtInRoles: Record<string, readonly Privilege[]> = {
  Administrator: privileges,
  VmAdmin: startingWith('Vm'),
  VmUser: ['VmPowerMgmt', 'VmAudit', 'VmConsole'],
  StorageAdmin: ['DatastoreAllocate', 'DatastoreAudit', 'PoolAllocate'],
  ContainerAdmin: startingWith('Container'),
  NetworkAdmin: startingWith('Network'),
  Auditor: ['VmAudit', 'ContainerAudit', 'DatastoreAudit', 'NetworkAudit', 'SysAudit'],
}
