import { mayServe } from './service-permissions.ts'
import { identityOf, partsOf } from './subjects.ts'

type Announced = { name: string; actions?: Record<string, { name: string }>; events?: object }
/** The fields of a packet that are checked here. */
export type Payload = { sender: string; id?: string; action?: string; services?: Announced[] }

/**
 * Checks the sender of a packet: NATS lets an identity publish only to subjects with its own name, and to those of its
 * calls. Announced services that the identity does not serve are removed.
 * @param askedOf the process from which the answer to a request is expected
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

/** An answer that no caller waits for is harmless. */
function isAwaited({ id, sender }: Payload, askedOf: (id: string) => string | undefined): boolean {
  const asked = askedOf(id ?? '')
  return asked === undefined || asked === sender
}

const isServedBy = (identity: string, { name, actions = {} }: Announced) =>
  mayServe(identity, name) && Object.values(actions).every((action) => action.name.startsWith(`${name}.`))
