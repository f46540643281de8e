import type { Caller, Rights } from '#shared/access.ts'
import { fillPath, onPath } from '#shared/contract.ts'
import { events } from '#shared/contracts/events.ts'
import type { Frame } from './frame.ts'

/** Readers that may see the same: the same user with the same rights. */
export type Audience = { key: string; user: string; mayReceive: (frame: Frame) => boolean }

/** Applies the rights of an event's type to each event: the right on its resource, or being the one who caused it. */
export function audienceOf({ user, rights: name }: Caller & { kind: 'user' }, rights: Rights): Audience {
  const seesOperations = rights.allows('SysAudit', '/')
  const mayReceive = ({ type, data }: Frame) => {
    const kind = events[type] as (typeof events)[typeof type] | undefined
    // An event of a newer version, whose rights this one does not know.
    if (!kind) return false
    if (kind.sees === 'owner') return seesOperations || data['user'] === user
    const { privilege, path } = onPath(kind.sees)
    return rights.allows(privilege, fillPath(path, data))
  }
  return { key: `${user}\n${name}`, user, mayReceive }
}
