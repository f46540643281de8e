import { type Static, type TObject, Type } from 'typebox'
import type { OnPath } from '#shared/contract/contract.ts'
import { oneOf, strict, Time } from '#shared/contracts/common.ts'
import type { Witness } from '#shared/contracts/access/permissions.ts'
import { Operation } from '#shared/contracts/core/operations.ts'
import { VmStatus } from '#shared/contracts/vm/vms.ts'

export const topics = [
  'vm:status',
  'vm:metrics',
  'vm:events',
  'node:metrics',
  'container:status',
  'container:metrics',
  'backups',
  'migrations',
  'alerts',
  'notifications',
  'operations',
] as const
export type Topic = (typeof topics)[number]

/** An event's topic, its data, and the right that a reader needs to be given it. */
type EventKind = { topic: Topic; access: OnPath | 'owner'; data: TObject }
const kind = <const K extends EventKind>(definition: K) => definition

/** Every event that there is. `owner`: whoever started the operation, and who may audit the system. */
export const events = {
  VmStatusChanged: kind({
    topic: 'vm:status',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ vm_id: Type.String(), old_status: VmStatus, new_status: VmStatus, timestamp: Time }),
  }),
  VmCreated: kind({
    topic: 'vm:events',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ vm_id: Type.String(), name: Type.String(), timestamp: Time }),
  }),
  VmDeleted: kind({
    topic: 'vm:events',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ vm_id: Type.String(), name: Type.String(), timestamp: Time }),
  }),
  AlertTriggered: kind({
    topic: 'alerts',
    access: 'SysAudit on /api/alerts/{alert_id}',
    data: strict({
      alert_id: Type.String(),
      name: Type.String({ description: 'What it is about, such as brute_force' }),
      severity: oneOf('info', 'warning', 'critical'),
      resource: Type.String({ description: 'Path of the resource that it is about' }),
      message: Type.String(),
      timestamp: Time,
    }),
  }),
  OperationUpdated: kind({ topic: 'operations', access: 'owner', data: Operation }),
}
export type EventType = keyof typeof events
export type EventData<T extends EventType> = Static<(typeof events)[T]['data']>

/** Who is given an event beside, or only together with, what its type says. Readers are not told. */
type Addressed = {
  /** The restricted API key that began the operation. */ api_key?: string
  /** Resource pools that the resource was in: whoever has the privilege on one of them. */ pools?: string[]
  witnesses?: Witness[]
}

/** An event on its way; the stream gives it its `seq`. */
export type Event<T extends EventType = EventType> = {
  id: string
  type: T
  time: string
  topic: Topic
  data: EventData<T>
  for?: Addressed
}
