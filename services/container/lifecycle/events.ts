import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { event, now } from '#shared/events/event.ts'
import { apiPathOf, type ContainerRecord } from '../model.ts'

type Named = Pick<ContainerRecord, 'id' | 'name'>
const namedIn = ({ id, name }: Named) => ({ container_id: id, name, timestamp: now() })

export const creationOf = (container: Named): Event => event('ContainerCreated', namedIn(container))

/**
 * The event of a container's end. It names the users who could see the container, because their rights on it end with it;
 * so it is made while the record is there.
 */
export async function deletionOf(container: Named): Promise<Event> {
  const question = { path: apiPathOf(container.id), privilege: 'ContainerAudit' as const }
  const witnesses = await call(permissions, 'witnesses', question, { isQuestion: true })
  return { ...event('ContainerDeleted', namedIn(container)), for: witnesses }
}
