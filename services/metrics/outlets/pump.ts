import { unseal } from '#shared/config/secrets.ts'
import { log } from '#shared/runtime/log.ts'
import {
  alertRecords,
  type AlertRecord,
  outletRecords,
  type OutletRecord,
  type StoredDelivery,
} from '../alerts/models.ts'
import { waitingIn } from '../alerts/judge.ts'
import { afterFailure, type Outcome } from './backoff.ts'
import { messageOf, type Message } from './message.ts'

/** Sends a message by an outlet. */
export type Send = (outlet: OutletRecord, message: Message) => Promise<Outcome>

/** The transports of each kind are loaded when they are first used. */
export const sendBy: Send = async ({ config, sealed }, message) => {
  const secret = sealed === null ? null : unseal(sealed, 'outlet')
  if (config.kind === 'webhook') return (await import('./webhook.ts')).postMessage(config.url, secret ?? '', message)
  return (await import('./smtp.ts')).sendMail(config, secret, message)
}

type Due = { alert: AlertRecord; delivery: StoredDelivery }

/** The waiting messages of an outlet, the oldest first. Of an alert with two, the later one tells both. */
export function queueOf(outlet: string, alerts: readonly AlertRecord[]): Due[] {
  return alerts
    .flatMap((alert) => {
      const own = alert.deliveries.filter((each) => each.outlet === outlet && each.state === 'waiting')
      const last = own.find(({ event }) => event === 'resolved') ?? own[0]
      return last ? [{ alert, delivery: last }] : []
    })
    .toSorted((a, b) => (a.delivery.made_at < b.delivery.made_at ? -1 : 1))
}

/** Marks a delivery after a try. A message that was told by a later one is merged into it. */
export function marked(deliveries: readonly StoredDelivery[], done: StoredDelivery, outcome: Outcome, now: number) {
  const attempts = done.attempts + 1
  const time = new Date(now).toISOString()
  const isEarlier = (each: StoredDelivery) =>
    each.outlet === done.outlet && each.state === 'waiting' && done.event === 'resolved' && each.event === 'triggered'
  return deliveries.map((each): StoredDelivery => {
    if (each.id === done.id) {
      if (outcome.is === 'sent') return { ...each, state: 'sent', attempts, error: null, sent_at: time }
      const { state, nextAt } = afterFailure({ attempts, madeAt: Date.parse(each.made_at) }, outcome, now)
      return { ...each, state, attempts, error: outcome.error, next_at: new Date(nextAt).toISOString() }
    }
    return outcome.is === 'sent' && isEarlier(each) ? { ...each, state: 'merged' } : each
  })
}

/**
 * Sends the waiting messages. Each outlet has a queue of its own: one that is slow or away holds up no other. The messages
 * of an outlet are sent in order; after a failure its queue waits for the time of the next try.
 */
export function createPump(send: Send = sendBy) {
  const busy = new Map<string, Promise<void>>()

  const work = async (outlet: OutletRecord, queue: Due[]) => {
    for (const { alert, delivery } of queue) {
      if (Date.parse(delivery.next_at) > Date.now()) return
      const message = messageOf(delivery.id, delivery.event, alert)
      const outcome = await send(outlet, message)
      await mark(alert.id, delivery, outcome)
      if (outcome.is === 'sent' || outcome.final) continue
      log('alerts').warn(
        { outlet: outlet.id, delivery: delivery.id, reason: outcome.error },
        'a message could not be sent',
      )
      return
    }
  }

  const mark = (id: string, delivery: StoredDelivery, outcome: Outcome) =>
    alertRecords.change(id, ({ deliveries }) => {
      const after = marked(deliveries, delivery, outcome, Date.now())
      return { set: { deliveries: after, waiting: waitingIn(after) } }
    })

  /** Ends the deliveries of outlets that are not there any more. */
  const drop = async (alerts: readonly AlertRecord[], outlets: ReadonlySet<string>) => {
    const isLost = (each: StoredDelivery) => each.state === 'waiting' && !outlets.has(each.outlet)
    for (const { id, deliveries } of alerts)
      if (deliveries.some(isLost))
        await alertRecords.change(id, (alert) => {
          const after = alert.deliveries.map((each) =>
            isLost(each) ? { ...each, state: 'failed' as const, error: 'The outlet was deleted' } : each,
          )
          return { set: { deliveries: after, waiting: waitingIn(after) } }
        })
  }

  return {
    /** Begins to send what waits. @returns false if nothing waits any more */
    async run(): Promise<boolean> {
      const alerts = await alertRecords.all({ waiting: { $gt: '' } })
      if (alerts.length === 0) return false
      const outlets = await outletRecords.all()
      await drop(alerts, new Set(outlets.map(({ id }) => id)))
      for (const outlet of outlets) {
        if (busy.has(outlet.id)) continue
        const queue = queueOf(outlet.id, alerts)
        if (queue.length === 0) continue
        const working = work(outlet, queue)
          .catch((error: Error) => log('alerts').warn({ err: error, outlet: outlet.id }, 'messages could not be sent'))
          .finally(() => busy.delete(outlet.id))
        busy.set(outlet.id, working)
      }
      return true
    },
    /** Resolves when nothing is being sent. */
    idle: () => Promise.all(busy.values()),
  }
}
