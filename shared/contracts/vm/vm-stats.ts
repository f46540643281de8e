import { type Static, Type } from 'typebox'
import { oneOf, strict, Time } from '#shared/contracts/common.ts'

export const VmStatus = oneOf('running', 'stopped', 'paused', 'unknown')
export type VmStatus = Static<typeof VmStatus>

/** Counters of a guest. */
export const VmStats = strict({
  vm_id: Type.String(),
  status: VmStatus,
  cpu_time_ns: Type.Union([Type.Integer(), Type.Null()], { description: 'Processor time since the start' }),
  memory_mib: Type.Union([Type.Number(), Type.Null()], { description: 'Memory that the guest has been given' }),
  memory_rss_mib: Type.Union([Type.Number(), Type.Null()], { description: 'Memory that the guest takes of the host' }),
  disks: Type.Array(
    strict({
      id: Type.String(),
      read_bytes: Type.Integer(),
      written_bytes: Type.Integer(),
      capacity_bytes: Type.Union([Type.Integer(), Type.Null()]),
      allocation_bytes: Type.Union([Type.Integer(), Type.Null()]),
    }),
  ),
  nics: Type.Array(strict({ name: Type.String(), received_bytes: Type.Integer(), sent_bytes: Type.Integer() })),
  timestamp: Time,
})
