import { type Static, Type } from 'typebox'
import { nullable, oneOf, strict, Time } from '#shared/contracts/common.ts'

/** The checks of a guest that has moved, in their order. The HTTP checks of the caller follow them. */
export const healthChecks = [
  'vm_running',
  'qemu_responsive',
  'memory_allocation',
  'cpu_availability',
  'disk_io',
  'network_connectivity',
  'guest_agent_responsive',
] as const
export type HealthCheckName = (typeof healthChecks)[number]

/** A request that Horcrux itself sends. It is stored and shown, so it has no credentials. */
export const HttpCheck = strict({
  url: Type.String({
    examples: ['http://127.0.0.1:8080/healthz'],
    pattern: '^https?://[^\\s@?#]+$',
    maxLength: 2048,
    errorMessage: 'must be an http or https address without user, password, query and fragment',
  }),
  expected_status: Type.Optional(Type.Integer({ minimum: 100, maximum: 599, description: '200 to 299 if not given' })),
  is_critical: Type.Optional(Type.Boolean({ default: true })),
})
export type HttpCheck = Static<typeof HttpCheck>

export const HealthResult = strict({
  name: Type.String({ description: 'Name of the check; the address of an HTTP check' }),
  is_critical: Type.Boolean(),
  status: oneOf('passed', 'failed', 'timeout', 'skipped'),
  ms: Type.Integer({ description: 'Time of the last try' }),
  tries: Type.Integer(),
  reason: nullable(Type.String({ description: 'Why it did not pass' })),
})
export type HealthResult = Static<typeof HealthResult>

export const Health = strict({
  status: oneOf('passed', 'failed', 'skipped'),
  checks: Type.Array(HealthResult),
  consequence: Type.Enum(['none', 'warning', 'move_back'], {
    description: 'warning: a check failed, the guest stays; move_back: a critical one failed, the guest moves back',
  }),
  move_back: nullable(
    strict({
      migration_id: Type.String({ description: 'The migration to the source node' }),
      state: oneOf('waiting', 'started', 'refused'),
      error: nullable(Type.String()),
    }),
  ),
  checked_at: Time,
})
export type Health = Static<typeof Health>

export const healthSettings = {
  health_checks: Type.Boolean({ description: 'A guest that runs is checked after its move' }),
  health_rollback: Type.Boolean({
    description: 'A guest with a failed critical check moves back to its source node, by a migration of its own',
  }),
  health_timeout_seconds: Type.Integer({ minimum: 1, maximum: 300, description: 'Time of one try of a check' }),
  health_tries: Type.Integer({ minimum: 1, maximum: 10 }),
  health_retry_seconds: Type.Integer({ minimum: 0, maximum: 60, description: 'Time between two tries' }),
}

/** Numbers of a guest that its checks compare, from its hypervisor. */
export const GuestProbe = strict({
  status: Type.String(),
  monitor_error: nullable(Type.String({ description: 'Why its hypervisor process does not answer' })),
  memory_mib: nullable(Type.Number()),
  cpus: nullable(Type.Integer({ description: 'Processors that its hypervisor process runs' })),
  broken_disks: Type.Array(Type.String({ description: 'A disk whose last request failed, with its state' })),
  nics: nullable(Type.Integer({ description: 'NICs that count packets' })),
  has_agent: Type.Boolean(),
})
export type GuestProbe = Static<typeof GuestProbe>

/** The state before a move that checks after it are compared with. */
export const Baseline = strict({
  probe: GuestProbe,
  http_failures: Type.Array(strict({ url: Type.String(), reason: Type.String() }), {
    description: 'HTTP checks that failed before the move already',
  }),
})
export type Baseline = Static<typeof Baseline>
