import { createHmac } from 'node:crypto'
import type { AlertRecord } from '../alerts/models.ts'

export type Message = {
  /** The same for every try. */
  id: string
  event: 'triggered' | 'resolved'
  alert: Pick<
    AlertRecord,
    'id' | 'rule' | 'name' | 'severity' | 'subject' | 'resource' | 'message' | 'value' | 'firing_since' | 'resolved_at'
  >
}

export function messageOf(id: string, event: Message['event'], alert: AlertRecord): Message {
  const { rule, name, severity, subject, resource, message, value, firing_since, resolved_at } = alert
  return {
    id,
    event,
    alert: { id: alert.id, rule, name, severity, subject, resource, message, value, firing_since, resolved_at },
  }
}

/** The signature of a webhook: HMAC-SHA256 of the time and the body, so that an old message cannot be sent again. */
export const signatureOf = (secret: string, timestamp: string, body: string) =>
  `sha256=${createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')}`

/** The subject line and the text of a mail. */
export function mailOf({ event, alert }: Message): { subject: string; text: string } {
  const word = event === 'triggered' ? alert.severity.toUpperCase() : 'RESOLVED'
  const lines = [
    alert.message,
    '',
    `Alert: ${alert.name} (${alert.id})`,
    `Resource: ${alert.resource}`,
    `Firing since: ${alert.firing_since ?? '-'}`,
    ...(event === 'resolved' ? [`Resolved: ${alert.resolved_at ?? '-'}`] : []),
  ]
  return { subject: `[Horcrux] ${word}: ${alert.name} on ${alert.subject}`, text: `${lines.join('\n')}\n` }
}
