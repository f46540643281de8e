import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Done, Id, ListQuery, Name, nullable, oneOf, Page, strict, Time } from '#shared/contracts/common.ts'
import {
  Alert,
  NewOutlet,
  Outlet,
  OutletConfig,
  RuleGiven,
  Rule,
  Severity,
  Silence,
} from '#shared/contracts/metrics/alert-parts.ts'

const read = 'SysAudit on /api/alerts'
const change = { can: 'SysModify on /api/alerts', audit: 'config_changed' } as const

const Delivery = strict({
  id: Type.String({ description: 'The same for every try; receivers recognise a repetition by it' }),
  alert: Type.String(),
  event: oneOf('triggered', 'resolved'),
  state: Type.Enum(['waiting', 'sent', 'failed', 'merged'], {
    description: 'merged: the message that the alert is resolved told this too',
  }),
  attempts: Type.Integer(),
  next_at: nullable(Time),
  error: nullable(Type.String()),
  made_at: Time,
  sent_at: nullable(Time),
})

/** Alerts: their rules, what is active, what was, silences, and the outlets of messages. */
export const alerts = contract('alerts', {
  rules: {
    does: 'List the rules of alerts',
    rest: 'GET /alerts/rules',
    can: read,
    params: ListQuery('id', 'name', 'enabled', 'severity'),
    result: Page(Rule),
  },
  rule: { does: 'Get a rule', rest: 'GET /alerts/rules/{id}', can: read, params: ById, result: Rule },
  createRule: {
    ...change,
    does: 'Create a rule',
    rest: 'POST /alerts/rules',
    status: 201,
    params: strict({ id: Type.Optional(Id), ...RuleGiven }),
    result: Rule,
  },
  replaceRule: {
    ...change,
    does: 'Change a rule',
    rest: 'PUT /alerts/rules/{id}',
    params: strict({ id: Id, ...RuleGiven }),
    result: Rule,
  },
  deleteRule: {
    ...change,
    does: 'Delete a rule; a built-in one can only be switched off',
    rest: 'DELETE /alerts/rules/{id}',
    status: 204,
    params: ById,
    result: Done,
  },
  try: {
    does: 'Try a rule against the past: the alerts that it would have made',
    rest: 'POST /alerts/rules/try',
    can: read,
    params: strict({ ...RuleGiven, hours: Type.Integer({ minimum: 1, maximum: 168, default: 168 }) }),
    result: strict({
      data: Type.Array(strict({ subject: Type.String(), triggered_at: Time, resolved_at: nullable(Time) })),
      subjects: Type.Integer({ description: 'How many were looked at' }),
      complete: Type.Boolean({ description: 'False: the rule has more subjects than are looked at' }),
    }),
  },
  active: {
    does: 'List the alerts that are pending or firing',
    rest: 'GET /alerts/active',
    can: read,
    params: ListQuery('rule', 'subject', 'severity', 'phase'),
    result: Page(Alert),
  },
  history: {
    does: 'List the alerts that were resolved, of the last 90 days',
    rest: 'GET /alerts/history',
    can: read,
    params: ListQuery('rule', 'subject', 'severity'),
    result: Page(Alert),
  },
  acknowledge: {
    ...change,
    does: 'Acknowledge an alert: its subscribers know that it is worked on',
    rest: 'POST /alerts/active/{id}/acknowledge',
    params: strict({ id: Id, comment: Type.String({ maxLength: 1000, default: '' }) }),
    result: Alert,
  },
  silences: {
    does: 'List the silences',
    rest: 'GET /alerts/silences',
    can: read,
    params: ListQuery('id'),
    result: Page(Silence),
  },
  silence: {
    ...change,
    does: 'Silence alerts for a time: nothing is sent of them',
    rest: 'POST /alerts/silences',
    status: 201,
    params: strict({
      id: Type.Optional(Id),
      rule: Type.Optional(Id),
      subject: Type.Optional(Type.String({ maxLength: 300, description: 'Such as vms/web; may end in *' })),
      tag: Type.Optional(Type.String({ maxLength: 63, description: 'Of VMs' })),
      severity: Type.Optional(Severity),
      starts_at: Type.Optional(Type.String({ ...Time, description: 'Default: now' })),
      ends_at: Time,
      comment: Type.String({ maxLength: 1000, default: '' }),
    }),
    result: Silence,
  },
  endSilence: {
    ...change,
    does: 'End a silence',
    rest: 'DELETE /alerts/silences/{id}',
    status: 204,
    params: ById,
    result: Done,
  },
  outlets: {
    does: 'List the outlets of messages',
    rest: 'GET /alerts/outlets',
    can: read,
    params: ListQuery('id', 'name'),
    result: Page(Outlet),
  },
  createOutlet: {
    ...change,
    does: 'Create an outlet: a webhook, or mail',
    rest: 'POST /alerts/outlets',
    status: 201,
    params: strict({ id: Type.Optional(Id), name: Name, ...OutletConfig }),
    result: NewOutlet,
    secret: ['secret', 'config.secret', 'config.password'],
  },
  replaceOutlet: {
    ...change,
    does: 'Change an outlet; a secret or password that is not given stays',
    rest: 'PUT /alerts/outlets/{id}',
    params: strict({ id: Id, name: Name, ...OutletConfig }),
    result: Outlet,
    secret: ['config.secret', 'config.password'],
  },
  deleteOutlet: {
    ...change,
    does: 'Delete an outlet; its waiting messages are not sent',
    rest: 'DELETE /alerts/outlets/{id}',
    status: 204,
    params: ById,
    result: Done,
  },
  deliveries: {
    does: 'List the messages of an outlet, the newest first',
    rest: 'GET /alerts/outlets/{id}/deliveries',
    can: read,
    params: strict({ id: Id, limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }) }),
    result: strict({ data: Type.Array(Delivery) }),
  },
  replay: {
    ...change,
    does: 'Send a message again, under the same id',
    rest: 'POST /alerts/outlets/{id}/deliveries/{delivery}/replay',
    params: strict({ id: Id, delivery: Type.String({ maxLength: 200 }) }),
    result: Delivery,
  },
})
export type Delivery = Static<typeof Delivery>
