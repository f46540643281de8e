import { type Static, Type } from 'typebox'
import { Alert, Outlet, Rule, Silence } from '#shared/contracts/metrics/alert-parts.ts'
import { collection } from '#shared/db/collection.ts'

export const ruleRecords = collection('alert_rules', Rule, {
  kind: 'Rule',
  resource: { path: '/api/alerts/rules/{id}', sees: 'SysAudit on /api/alerts' },
  indexes: [{ fields: { name: 1 }, unique: true }],
})

/** A message for an outlet. It is stored with the alert, in the write that made it due. */
const StoredDelivery = Type.Object({
  id: Type.String(),
  outlet: Type.String(),
  event: Type.Enum(['triggered', 'resolved']),
  state: Type.Enum(['waiting', 'sent', 'failed', 'merged']),
  attempts: Type.Integer(),
  next_at: Type.String(),
  error: Type.Union([Type.String(), Type.Null()]),
  made_at: Type.String(),
  sent_at: Type.Union([Type.String(), Type.Null()]),
})
export type StoredDelivery = Static<typeof StoredDelivery>

const StoredAlert = Type.Object({
  ...Alert.properties,
  /** The rule and subject while the alert is not settled, so that there is one at a time. */
  active: Type.Optional(Type.String()),
  closed_since: Type.Union([Type.String(), Type.Null()]),
  tags: Type.Array(Type.String()),
  deliveries: Type.Array(StoredDelivery),
  waiting: Type.Optional(Type.Array(Type.String(), { description: 'Outlets with a message that waits' })),
})
export type AlertRecord = Static<typeof StoredAlert>

export const alertRecords = collection('alerts', StoredAlert, {
  kind: 'Alert',
  resource: { path: '/api/alerts/{id}', sees: 'SysAudit on /api/alerts/{id}' },
  indexes: [
    { fields: { active: 1 }, unique: true, sparse: true },
    { fields: { waiting: 1 }, sparse: true },
    { fields: { phase: 1, resolved_at: 1 } },
  ],
})

export const alertView = ({
  active: _a,
  closed_since: _c,
  tags: _t,
  deliveries: _d,
  waiting: _w,
  ...alert
}: AlertRecord) => alert as Alert

export const silenceRecords = collection('alert_silences', Silence, {
  kind: 'Silence',
  resource: { path: '/api/alerts/silences/{id}', sees: 'SysAudit on /api/alerts' },
})

const StoredOutlet = Type.Object({
  ...Outlet.properties,
  sealed: Type.Union([Type.String(), Type.Null()], {
    description: 'Secret or password, sealed for the purpose `outlet`',
  }),
})
export type OutletRecord = Static<typeof StoredOutlet>

export const outletRecords = collection('alert_outlets', StoredOutlet, {
  kind: 'Outlet',
  resource: { path: '/api/alerts/outlets/{id}', sees: 'SysAudit on /api/alerts' },
  indexes: [{ fields: { name: 1 }, unique: true }],
})
export const outletView = ({ sealed: _s, ...outlet }: OutletRecord): Outlet => outlet
