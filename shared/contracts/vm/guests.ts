import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Id, strict, Time } from '#shared/contracts/common.ts'

const Text = Type.Union([Type.String(), Type.Null()])
const Bytes = Type.Union([Type.Integer(), Type.Null()])

const Interface = strict({ name: Type.String(), mac: Text, addresses: Type.Array(Type.String()) })
const FileSystem = strict({
  name: Type.String(),
  mountpoint: Type.String(),
  type: Type.String(),
  used_bytes: Bytes,
  total_bytes: Bytes,
})

/** Facts that the agent tells of its guest; null for a fact that it does not answer. */
export const AgentView = strict({
  connected: Type.Boolean(),
  reason: Type.Union([Type.String(), Type.Null()], { description: 'Why it is not connected' }),
  version: Text,
  hostname: Text,
  os: Type.Union([
    strict({ id: Text, name: Text, version: Text, kernel: Text, machine: Text }),
    Type.Null({ description: 'It does not answer this, or not now' }),
  ]),
  interfaces: Type.Union([Type.Array(Interface), Type.Null()]),
  filesystems: Type.Union([Type.Array(FileSystem), Type.Null()]),
  frozen: Type.Union([Type.Boolean(), Type.Null()]),
})
export type AgentView = Static<typeof AgentView>

const Frozen = strict({
  vm_id: Id,
  filesystems: Type.Integer({ description: 'How many have been frozen, or thawed' }),
  thaws_at: Type.Union([Time, Type.Null()], { description: 'They are thawed then, also after a crash of the service' }),
})

export const guests = contract('guests', {
  agent: {
    does: 'Read the facts that the agent in the guest tells; needs the capability `agent` of the hypervisor',
    rest: 'GET /vms/{id}/agent',
    can: 'VmAudit on /api/vms/{id}',
    params: ById,
    result: strict({
      vm_id: Id,
      ...AgentView.properties,
      thaws_at: Type.Union([Time, Type.Null()], { description: 'When a freeze by Horcrux ends' }),
      timestamp: Time,
    }),
  },
  freeze: {
    does: 'Freeze the file systems of the guest for a time; they are thawed when it is over',
    rest: 'POST /vms/{id}/agent/freeze',
    can: 'VmSnapshot on /api/vms/{id}',
    audit: 'vm_config_changed',
    params: strict({
      id: Id,
      seconds: Type.Integer({ minimum: 1, maximum: 600, default: 60, description: 'They are thawed after this long' }),
    }),
    result: Frozen,
  },
  thaw: {
    does: 'Thaw the file systems of the guest',
    rest: 'POST /vms/{id}/agent/thaw',
    can: 'VmSnapshot on /api/vms/{id}',
    audit: 'vm_config_changed',
    params: ById,
    result: Frozen,
  },
  monitor: {
    does: 'Send a query, which changes nothing, to the monitor of the hypervisor; needs its capability `monitor`, which QEMU has',
    rest: 'POST /vms/{id}/monitor',
    can: 'SysModify on /api/vms/{id}',
    audit: 'console_opened',
    params: strict({
      id: Id,
      execute: Type.String({
        examples: ['query-block-jobs'],
        pattern: '^query-[a-z0-9-]{1,60}$',
        description: 'A query of QMP, such as query-block-jobs, query-stats or query-cpus-fast',
        errorMessage: 'must be a query of QMP, such as query-block-jobs',
      }),
      arguments: Type.Optional(Type.Object({}, { additionalProperties: true, description: 'As QMP documents them' })),
    }),
    result: strict({ vm_id: Id, execute: Type.String(), result: Type.Unknown(), timestamp: Time }),
  },
})
