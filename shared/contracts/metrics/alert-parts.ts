import { type Static, Type } from 'typebox'
import { subjectKinds } from '#shared/contracts/metrics/catalog.ts'
import { Id, Name, nullable, oneOf, record, strict, Time, Version } from '#shared/contracts/common.ts'

export const Severity = oneOf('info', 'warning', 'critical')
export type Severity = Static<typeof Severity>

const Seconds = (description: string, max = 86_400) =>
  Type.Integer({ minimum: 0, maximum: max, default: 0, 'x-unit': 'seconds', description: `${description}; seconds` })

const Metric = Type.String({
  examples: ['memory_percent'],
  pattern: '^[a-z][a-z0-9_]{0,62}$',
  errorMessage: 'must be the name of a metric',
})
const kinds = { of: oneOf(...subjectKinds), metric: Metric }
/** One of `above` and `below`; `clear` is the threshold at which an alert ends, if it is another. */
const Thresholds = {
  above: Type.Optional(Type.Number()),
  below: Type.Optional(Type.Number()),
  clear: Type.Optional(
    Type.Number({ description: 'A firing alert is resolved beyond this value; default: the threshold' }),
  ),
}
const window = (seconds: number) =>
  Type.Integer({
    minimum: 10,
    maximum: 604_800,
    default: seconds,
    'x-unit': 'seconds',
    description: 'Window of the past; seconds',
  })

/** One branch for each kind of condition. */
export const Condition = Type.Union([
  strict({ kind: Type.Literal('threshold'), ...kinds, ...Thresholds }),
  strict({ kind: Type.Literal('rate'), ...kinds, over: window(300), ...Thresholds }),
  strict({
    kind: Type.Literal('absence'),
    ...kinds,
    after: Type.Integer({
      minimum: 10,
      maximum: 86_400,
      'x-unit': 'seconds',
      description: 'Time without a value; seconds',
    }),
  }),
  strict({
    kind: Type.Literal('forecast'),
    ...kinds,
    over: window(21_600),
    within: Type.Integer({ minimum: 60, maximum: 31_536_000, 'x-unit': 'seconds', description: 'Time ahead; seconds' }),
    ...Thresholds,
  }),
  strict({
    kind: Type.Literal('check'),
    check: oneOf(
      'failed_operations',
      'audit_intact',
      'snapshot_quotas',
      'overdue_backups',
      'overdue_replicas',
      'unproven_backups',
      'unenforced_policies',
      'certificate_days',
    ),
    ...Thresholds,
  }),
])
export type Condition = Static<typeof Condition>

const Scope = strict({
  nodes: Type.Array(Id, { maxItems: 100, default: [], description: 'Nodes, and the VMs on them' }),
  tags: Type.Array(Type.String({ maxLength: 63 }), { maxItems: 50, default: [], description: 'VMs with one of them' }),
  resource_pools: Type.Array(Id, { maxItems: 50, default: [], description: 'VMs in one of them' }),
})
export type Scope = Static<typeof Scope>

export const RuleGiven = {
  name: Name,
  description: Type.String({ maxLength: 1000, default: '' }),
  enabled: Type.Boolean({ default: true }),
  severity: Type.Enum([...Severity.enum], { default: 'warning' as const }),
  condition: Condition,
  scope: Type.Optional(Scope),
  for: Seconds('Time that the condition must hold before the alert fires'),
  keep_firing_for: Seconds('Time that the condition must not hold before the alert is resolved'),
  missing: Type.Enum(['keep', 'ok', 'alert'], {
    default: 'keep',
    description: 'A missing value leaves the alert as it is, counts as good, or counts as bad',
  }),
}

export const Rule = record('name enabled severity for id')({
  id: Id,
  ...RuleGiven,
  scope: Scope,
  built_in: Type.Boolean(),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Rule = Static<typeof Rule>

export const Alert = record('name severity subject phase value firing_since id')({
  id: Id,
  rule: Id,
  name: Type.String(),
  severity: Severity,
  subject: Type.String({ description: 'nodes/{id}, vms/{id}, or system' }),
  resource: Type.String({ description: 'Path of the resource' }),
  phase: oneOf('pending', 'firing', 'resolved'),
  message: Type.String(),
  value: nullable(Type.Number({ description: 'The last value that was judged' })),
  pending_since: Time,
  firing_since: nullable(Time),
  resolved_at: nullable(Time),
  announced: Type.Enum(['nothing', 'triggered', 'resolved'], { description: 'The last message that was sent' }),
  silenced_by: Type.Array(Type.String(), { description: 'Silences that have held back a message of it' }),
  acknowledged: nullable(strict({ by: Type.String(), at: Time, comment: Type.String() })),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Alert = Static<typeof Alert>

export const Silence = record('id rule subject severity starts_at ends_at by')({
  id: Id,
  rule: nullable(Type.String()),
  subject: nullable(Type.String()),
  tag: nullable(Type.String()),
  severity: nullable(Severity),
  starts_at: Time,
  ends_at: Time,
  comment: Type.String(),
  by: Type.String(),
  created_at: Time,
  version: Version,
})
export type Silence = Static<typeof Silence>

const Url = Type.String({
  examples: ['https://hooks.example.org/horcrux'],
  pattern: '^https?://[^\\s@]+$',
  maxLength: 2048,
  errorMessage: 'must be an http or https address without user and password',
})
const Mail = Type.String({
  examples: ['ops@example.org'],
  pattern: '^[^\\s@<>]+@[^\\s@<>]+$',
  maxLength: 254,
  errorMessage: 'must be a mail address',
})

const Webhook = { kind: Type.Literal('webhook'), url: Url }
const Smtp = {
  kind: Type.Literal('smtp'),
  host: Type.String({ minLength: 1, maxLength: 253, examples: ['smtp.example.org'], pattern: '^[A-Za-z0-9.:_-]+$' }),
  port: Type.Integer({ minimum: 1, maximum: 65_535, default: 587 }),
  tls: Type.Enum(['off', 'starttls', 'implicit'], { default: 'starttls' }),
  user: Type.Optional(Type.String({ maxLength: 256 })),
  from: Mail,
  to: Type.Array(Mail, { minItems: 1, maxItems: 50 }),
}
const Secret = Type.Optional(
  Type.String({
    minLength: 16,
    maxLength: 256,
    description: 'Signs the messages of a webhook; made if it is not given',
  }),
)
const Password = Type.Optional(
  Type.String({ minLength: 1, maxLength: 1024, description: 'Of the user at the mail server' }),
)

export const OutletConfig = {
  enabled: Type.Boolean({ default: true }),
  least_severity: Type.Enum([...Severity.enum], { default: 'info' as const }),
  config: Type.Union([strict({ ...Webhook, secret: Secret }), strict({ ...Smtp, password: Password })]),
}
export type GivenOutletConfig = Static<(typeof OutletConfig)['config']>

/** The configuration as it is answered: without secrets. */
export const ShownOutletConfig = Type.Union([strict(Webhook), strict(Smtp)])
export type ShownOutletConfig = Static<typeof ShownOutletConfig>

export const Outlet = record('name enabled least_severity id')({
  id: Id,
  name: Name,
  enabled: Type.Boolean(),
  least_severity: Severity,
  config: ShownOutletConfig,
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Outlet = Static<typeof Outlet>

export const NewOutlet = strict({
  ...Outlet.properties,
  secret: Type.Optional(Type.String({ description: 'Signs its messages; answered this once, if it was made here' })),
})
