import { mayServe } from './service-permissions.ts'
import { identityOf, partsOf } from './subjects.ts'

type Announced = { name: string; actions?: Record<string, { name: string }>; events?: object }
/** What of a packet's content is looked at here. */
export type Payload = { sender: string; id?: string; action?: string; services?: Announced[] }

/**
 * Whether a packet is from whom it says: NATS lets an identity send only to subjects with its own name, and to those of
 * what it may call. What an identity announces to serve without doing so is taken out.
 * @param askedOf the process from which the answer to a request is awaited
 */
export function genuine(
  type: string,
  subject: string,
  payload: Payload,
  askedOf: (id: string) => string | undefined,
): boolean {
  const parts = partsOf(type, subject)
  if (!parts || identityOf(payload.sender) !== parts.from) return false
  if (type === 'REQ') return payload.action === parts.action
  if (type === 'RES') return isAwaited(payload, askedOf)
  if (type === 'INFO') payload.services = (payload.services ?? []).filter((service) => isServedBy(parts.from, service))
  return true
}

/** An answer that nobody waits for any more does no harm. */
function isAwaited({ id, sender }: Payload, askedOf: (id: string) => string | undefined): boolean {
  const asked = askedOf(id ?? '')
  return asked === undefined || asked === sender
}

const isServedBy = (identity: string, { name, actions = {} }: Announced) =>
  mayServe(identity, name) && Object.values(actions).every((action) => action.name.startsWith(`${name}.`))
