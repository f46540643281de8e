import { randomBytes } from 'node:crypto'
import { subjectOf } from '#shared/access/access.ts'
import { seal } from '#shared/config/secrets.ts'
import { series as catalogue } from '#shared/contracts/metrics/catalog.ts'
import { alerts, type Delivery } from '#shared/contracts/metrics/alerts.ts'
import type { GivenOutletConfig, Rule, ShownOutletConfig } from '#shared/contracts/metrics/alert-parts.ts'
import { ConflictError, notFound, ValidationError, type Violation } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { implement } from '#shared/service/implement.ts'
import { waitingIn } from './judge.ts'
import {
  alertRecords,
  type AlertRecord,
  alertView,
  outletRecords,
  outletView,
  ruleRecords,
  silenceRecords,
  type StoredDelivery,
} from './models.ts'
import { tryRule } from './try.ts'

const everywhere = { nodes: [], tags: [], resource_pools: [] }

type Given = Pick<Rule, 'condition'> & { scope?: Rule['scope'] }

/** @throws ValidationError with everything that the schema cannot tell */
function requireRule({ condition }: Given): void {
  const violations: Violation[] = []
  const refuse = (field: string, code: string, message: string) => violations.push({ field, code, message })
  if (condition.kind !== 'check' && !catalogue[condition.of][condition.metric])
    refuse(
      'condition.metric',
      'unknown',
      `${condition.of} have no metric '${condition.metric}'; GET /api/monitoring/metrics lists them`,
    )
  if (condition.kind !== 'absence') {
    const { above, below, clear } = condition
    if ((above === undefined) === (below === undefined))
      refuse('condition', 'thresholds', 'needs one of above and below')
    if (above !== undefined && clear !== undefined && clear > above)
      refuse('condition.clear', 'order', 'must not be beyond above')
    if (below !== undefined && clear !== undefined && clear < below)
      refuse('condition.clear', 'order', 'must not be beyond below')
  }
  if (violations.length > 0) throw new ValidationError(violations)
}

/** The part of a configuration that is shown, and its secret. */
function splitConfig(given: GivenOutletConfig): { config: ShownOutletConfig; secret: string | undefined } {
  if (given.kind === 'webhook') {
    const { secret, ...config } = given
    return { config, secret }
  }
  const { password, ...config } = given
  return { config, secret: password }
}

const sealed = (secret: string | undefined) => (secret === undefined ? null : seal(secret, 'outlet'))

export const alertService = implement(alerts, {
  rules: (query, { maySee }) => ruleRecords.list(query, maySee),
  rule: ({ id }) => ruleRecords.require(id),
  createRule: async ({ id = newId(), scope = everywhere, ...given }) => {
    requireRule(given)
    return ruleRecords.insert({ id, scope, ...given, built_in: false, created_at: now(), updated_at: now() })
  },
  replaceRule: async ({ id, scope = everywhere, ...given }) => {
    requireRule(given)
    return ruleRecords.change(id, () => ({ set: { scope, ...given } }))
  },
  deleteRule: async ({ id }) => {
    const rule = await ruleRecords.requireForChange(id)
    if (rule.built_in) throw new ConflictError(`Rule '${id}' is built in: set enabled to false instead`)
    await ruleRecords.remove(rule)
    return null
  },
  try: async ({ hours, scope = everywhere, ...given }) => {
    requireRule(given)
    return tryRule({ scope, ...given }, hours, Date.now())
  },

  active: async (query, { maySee }) => {
    const page = await alertRecords.list(query, maySee, { phase: { $in: ['pending', 'firing'] } })
    return { ...page, data: page.data.map(alertView) }
  },
  history: async (query, { maySee }) => {
    const page = await alertRecords.list(query, maySee, { phase: 'resolved' })
    return { ...page, data: page.data.map(alertView) }
  },
  acknowledge: async ({ id, comment }, { caller }) => {
    const changed = await alertRecords.change(id, ({ phase }) => {
      if (phase === 'resolved') throw new ConflictError(`Alert '${id}' is resolved`)
      return { set: { acknowledged: { by: subjectOf(caller), at: now(), comment } } }
    })
    return alertView(changed)
  },

  silences: (query, { maySee }) => silenceRecords.list(query, maySee),
  silence: async ({ id = newId(), starts_at = now(), ends_at, comment, ...given }, { caller }) => {
    if (Date.parse(ends_at) <= Date.parse(starts_at))
      throw new ValidationError([{ field: 'ends_at', code: 'order', message: 'must be after the start' }])
    const { rule = null, subject = null, tag = null, severity = null } = given
    const by = subjectOf(caller)
    return silenceRecords.insert({
      id,
      rule,
      subject,
      tag,
      severity,
      starts_at,
      ends_at,
      comment,
      by,
      created_at: now(),
    })
  },
  endSilence: async ({ id }) => {
    await silenceRecords.remove(await silenceRecords.requireForChange(id))
    return null
  },

  outlets: async (query, { maySee }) => {
    const page = await outletRecords.list(query, maySee)
    return { ...page, data: page.data.map(outletView) }
  },
  createOutlet: async ({ id = newId(), config: given, ...rest }) => {
    const { config, secret } = splitConfig(given)
    const used = secret ?? (config.kind === 'webhook' ? randomBytes(32).toString('base64url') : undefined)
    const times = { created_at: now(), updated_at: now() }
    const made = await outletRecords.insert({ id, ...rest, config, sealed: sealed(used), ...times })
    // A secret that was made here is answered once.
    return { ...outletView(made), ...(used !== undefined && secret === undefined && { secret: used }) }
  },
  replaceOutlet: async ({ id, config: given, ...rest }) => {
    const { config, secret } = splitConfig(given)
    const changed = await outletRecords.change(id, (before) => {
      const keeps = secret === undefined && before.config.kind === config.kind
      return { set: { ...rest, config, sealed: keeps ? before.sealed : sealed(secret) } }
    })
    return outletView(changed)
  },
  deleteOutlet: async ({ id }) => {
    await outletRecords.remove(await outletRecords.requireForChange(id))
    return null
  },
  deliveries: async ({ id, limit }) => {
    await outletRecords.require(id)
    const found = await alertRecords.all({ 'deliveries.outlet': id })
    const all = found.flatMap((alert) =>
      alert.deliveries.filter(({ outlet }) => outlet === id).map((each) => deliveryView(alert, each)),
    )
    return { data: all.toSorted((a, b) => (a.made_at > b.made_at ? -1 : 1)).slice(0, limit) }
  },
  replay: async ({ id, delivery }) => {
    await outletRecords.require(id)
    const alert = await alertRecords.find({ 'deliveries.id': delivery })
    const found = alert?.deliveries.find((each) => each.id === delivery && each.outlet === id)
    if (!alert || !found) throw notFound('Delivery', delivery)
    const changed = await alertRecords.change(alert.id, ({ deliveries }) => {
      const again = { state: 'waiting' as const, next_at: now(), made_at: now(), attempts: 0, error: null }
      const after = deliveries.map((each) => (each.id === delivery ? { ...each, ...again } : each))
      return { set: { deliveries: after, waiting: waitingIn(after) } }
    })
    return deliveryView(
      changed,
      changed.deliveries.find((each) => each.id === delivery)!,
    )
  },
})

const deliveryView = ({ id: alert }: AlertRecord, { outlet: _, ...delivery }: StoredDelivery): Delivery => ({
  alert,
  ...delivery,
})
