import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  Iso,
  SearchQuery,
  Name,
  oneOf,
  SearchPage,
  Path,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'
import { vmPowerStates } from '#shared/contracts/power-states.ts'
import { cloneParams, crossClone, Tags } from '#shared/contracts/vm/clones.ts'
import { VmStats, VmStatus } from '#shared/contracts/vm/vm-stats.ts'
import { WatchedPage, Watching } from '#shared/contracts/metrics/monitoring.ts'
import { Accel } from '#shared/contracts/cluster/nodes.ts'
import {
  Boot,
  ChangedHardware,
  Disk,
  Disks,
  ForeignDisk,
  Hardware,
  NewHardware,
  Nic,
  Nics,
  Pending,
} from '#shared/contracts/vm/hardware.ts'

export { VmStatus }

const Description = Type.String({ maxLength: 8192 })

/** One for each driver. The first is that of a new VM that names none. */
const Hypervisor = oneOf('qemu', 'lxd', 'incus')

/** The ways to ask a guest to shut down: by its power button, or by the agent in it. */
const ShutdownMode = oneOf('acpi', 'agent')
export type ShutdownMode = Static<typeof ShutdownMode>

export const Vm = record('name status cpus memory node tags id')({
  id: Id,
  name: Name,
  description: Description,
  hypervisor: Hypervisor,
  ...Hardware,
  disks: Type.Array(Disk),
  foreign_disks: Type.Array(ForeignDisk, {
    description:
      'Disks and media that others gave it, or that `disks` cannot describe: Horcrux leaves them as they are, and does not copy them',
  }),
  nics: Type.Array(Nic),
  iso: Type.Union([Iso, Type.Null()]),
  seed: Type.Union([Path, Type.Null()], { description: 'ISO with its cloud-init seed, in a drive of its own' }),
  boot: Type.Union([Boot, Type.Null()]),
  accel: Accel,
  node: Id,
  status: VmStatus,
  status_reason: Type.Union([Type.String(), Type.Null()]),
  desired_state: oneOf('running', 'stopped'),
  pending_restart: Type.Boolean({ description: 'A change waits for the next start' }),
  pending: Type.Array(Pending, { description: 'The changes that wait for the next start' }),
  protected: Type.Boolean({ description: 'It cannot be deleted' }),
  template: Type.Boolean({ description: 'It is there to be cloned: it cannot be started or changed' }),
  tags: Tags,
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Vm = Static<typeof Vm>

const timeoutSeconds = (ifNotGiven: number) =>
  Type.Integer({ minimum: 1, maximum: 3600, default: ifNotGiven, 'x-unit': 'seconds', description: 'Seconds' })

const power = { operation: true, audit: 'vm_config_changed', can: 'VmPowerMgmt on /api/vms/{id}', result: Vm } as const
const powerIn = (verb: keyof typeof vmPowerStates) => ({
  ...power,
  possible: { status: vmPowerStates[verb], template: [false] },
})

/** A guest of a node that Horcrux does not manage. */
const Unmanaged = strict({
  hypervisor: Hypervisor,
  uuid: Type.String({ description: "The hypervisor's own name of it" }),
  name: Type.String(),
  status: VmStatus,
  autostart: Type.Boolean(),
  persistent: Type.Boolean({ description: 'Only what is defined on its node can be adopted' }),
})

export const vms = contract('vms', {
  list: {
    does: 'List virtual machines',
    rest: 'GET /vms',
    can: 'signed-in',
    itemAccess: 'VmAudit on /api/vms/{id}',
    params: SearchQuery(
      Vm,
      ['name', 'status', 'node', 'tags', 'hypervisor', 'template'],
      ['nics.mac', 'nics.network', 'disks.pool', 'disks.volume'],
    ),
    result: SearchPage(Vm),
  },
  get: {
    does: 'Get a virtual machine',
    rest: 'GET /vms/{id}',
    can: 'VmAudit on /api/vms/{id}',
    params: ById,
    result: Vm,
  },
  create: {
    does: 'Create a virtual machine',
    rest: 'POST /vms',
    can: 'VmAllocate on /api/vms/{id}',
    canInside: 'VmAllocate on /api/resource-pools/{resource_pool}',
    operation: true,
    audit: 'vm_created',
    params: strict({
      id: Type.Optional(Id),
      name: Name,
      description: Type.String({ ...Description, default: '' }),
      hypervisor: Type.Enum([...Hypervisor.enum], { default: Hypervisor.enum[0] }),
      ...NewHardware,
      disks: Disks,
      nics: Nics,
      iso: Type.Optional(Iso),
      boot: Type.Optional(Boot),
      node: Type.Optional(
        Type.String({
          ...Id,
          description: 'The node that it runs on; chosen by the room that stays free unless given',
        }),
      ),
      resource_pool: Type.Optional(
        Type.String({ ...Id, description: 'Resource pool that it is made in, within its limits and for its users' }),
      ),
      start: Type.Boolean({ default: false }),
      protected: Type.Boolean({ default: false }),
      tags: Type.Array(Tags.items, { maxItems: 50, uniqueItems: true, default: [] }),
    }),
    result: Vm,
  },
  watched: {
    does: 'List the VMs for the service that measures them, a page at a time, or those of some ids',
    can: 'service',
    callers: ['metrics'],
    params: Watching,
    result: WatchedPage,
  },
  unmanaged: {
    does: 'List the guests of a node that Horcrux does not manage',
    rest: 'GET /cluster/nodes/{id}/domains',
    can: 'SysAudit on /api/cluster/nodes/{id}',
    params: ById,
    result: strict({ data: Type.Array(Unmanaged) }),
  },
  adopt: {
    does: 'Take over a guest that is there already, as it is, running or not; takes SysModify on its node as well, and VmAllocate on its resource pool',
    rest: 'POST /vms/adopt',
    can: 'VmAllocate on /api/vms/{id}',
    operation: true,
    audit: 'vm_created',
    params: strict({
      node: Type.String({ ...Id, default: 'local' }),
      domain: Type.String({ minLength: 1, maxLength: 255, description: 'Its `uuid` or name on the node' }),
      id: Type.Optional(Id),
      name: Type.Optional(Name),
      resource_pool: Type.Optional(
        Type.String({ ...Id, description: 'Resource pool that it is taken into, within its limits and for its users' }),
      ),
    }),
    result: Vm,
  },
  update: {
    does: 'Change a virtual machine; a change that a running one cannot take now waits for its next start',
    rest: 'PATCH /vms/{id}',
    can: 'VmConfig on /api/vms/{id}',
    audit: 'vm_config_changed',
    params: strict({
      id: Id,
      name: Type.Optional(Name),
      description: Type.Optional(Description),
      ...ChangedHardware,
      iso: Type.Optional(Type.Union([Iso, Type.Null()])),
      boot: Type.Optional(Type.Union([Boot, Type.Null()])),
      protected: Type.Optional(Type.Boolean()),
      tags: Type.Optional(Tags),
    }),
    result: Vm,
  },
  delete: {
    does: 'Delete a stopped virtual machine, with its disks when `purge` is set',
    rest: 'DELETE /vms/{id}',
    can: 'VmAllocate on /api/vms/{id}',
    operation: true,
    audit: 'vm_deleted',
    possible: { status: ['stopped'], protected: [false] },
    params: strict({ id: Id, purge: Type.Boolean({ default: false }) }),
    result: Done,
  },
  clone: {
    does: 'Clone a virtual machine, running or off, or a template; takes VmConfig on the source as well',
    rest: 'POST /vms/{vm}/clone',
    can: 'VmAllocate on /api/vms/{id}',
    canInside: 'VmAllocate on /api/resource-pools/{resource_pool}',
    operation: true,
    audit: 'vm_created',
    params: strict({ vm: Id, ...cloneParams }),
    result: Vm,
  },
  cloneCrossNode: { ...crossClone, result: Vm },
  start: {
    ...powerIn('start'),
    does: 'Start a virtual machine',
    rest: 'POST /vms/{id}/start',
    audit: 'vm_started',
    params: ById,
  },
  shutdown: {
    ...powerIn('shutdown'),
    does: 'Ask the guest to shut down, and wait until it has',
    rest: 'POST /vms/{id}/shutdown',
    audit: 'vm_stopped',
    params: strict({
      id: Id,
      timeout: timeoutSeconds(120),
      mode: Type.Optional(
        Type.Enum([...ShutdownMode.enum], {
          description: 'By its power button, or by the agent in it; not given: by whichever answers',
        }),
      ),
    }),
  },
  stop: {
    ...powerIn('stop'),
    does: 'Switch a virtual machine off: at once, or when the guest has not shut down within the timeout',
    rest: 'POST /vms/{id}/stop',
    audit: 'vm_stopped',
    params: strict({
      id: Id,
      force: Type.Boolean({ default: false, description: 'At once, whatever the timeout says' }),
      timeout: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: 3600,
          'x-unit': 'seconds',
          description: 'Seconds that the guest has to shut down; none: at once',
        }),
      ),
    }),
  },
  restart: {
    ...powerIn('restart'),
    does: 'Shut the guest down and start it again',
    rest: 'POST /vms/{id}/restart',
    audit: 'vm_restarted',
    params: strict({
      id: Id,
      force: Type.Boolean({ default: false, description: 'Switch it off when it has not shut down in time' }),
      timeout: timeoutSeconds(120),
    }),
  },
  reset: {
    ...powerIn('reset'),
    does: 'Press the reset button',
    rest: 'POST /vms/{id}/reset',
    audit: 'vm_restarted',
    params: ById,
  },
  pause: { ...powerIn('pause'), does: 'Pause a running virtual machine', rest: 'POST /vms/{id}/pause', params: ById },
  resume: {
    ...powerIn('resume'),
    does: 'Let a paused virtual machine run on',
    rest: 'POST /vms/{id}/resume',
    params: ById,
  },
  stats: {
    does: 'Read the counters of a virtual machine',
    rest: 'GET /vms/{id}/stats',
    can: 'VmAudit on /api/vms/{id}',
    params: ById,
    result: VmStats,
  },
  serial: {
    does: 'Read the output of the guest on its serial console since its last start',
    rest: 'GET /vms/{id}/serial',
    can: 'VmConsole on /api/vms/{id}',
    params: ById,
    result: strict({ text: Type.String({ description: 'The last 256 KiB' }) }),
  },
})
