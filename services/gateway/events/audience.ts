import { type Caller, type Rights, restrictedKeyOf } from '#shared/access/access.ts'
import { fillPath, type OnPath, onPath } from '#shared/contract/contract.ts'
import { events } from '#shared/contracts/core/events.ts'
import type { Witness } from '#shared/contracts/access/permissions.ts'
import { isInNetworks } from '#shared/access/networks.ts'
import type { Frame } from './frame.ts'

/** Readers that may see the same: the same user with the same rights, from the same address. */
export type Audience = { key: string; user: string; mayReceive: (frame: Frame) => boolean }

/** The right that an event needs; undefined for one that does not say it. */
function neededFor(
  access: OnPath | 'resource',
  data: Frame['data'],
  { needs }: NonNullable<Frame['for']>,
): typeof needs {
  if (access === 'resource') return needs
  const { privilege, path } = onPath(access)
  return [{ privilege, path: fillPath(path, data) }]
}

/** Applies the rights of an event's type to each event: the right on its resource, or being the one who caused it. */
export function audienceOf(caller: Caller & { kind: 'user' }, rights: Rights): Audience {
  const { user, rights: name, address } = caller
  const restrictedTo = restrictedKeyOf(caller)
  const seesOperations = rights.allows('SysAudit', '/')
  const isWitness = ({ kind, id, networks }: Witness) =>
    (restrictedTo === undefined ? kind === 'user' && id === user : kind === 'api_key' && id === restrictedTo) &&
    networks.every((list) => isInNetworks(address, list))

  const mayReceive = ({ type, data, for: to = {} }: Frame) => {
    const kind = events[type] as (typeof events)[typeof type] | undefined
    // An event of a newer version, whose rights this one does not know.
    if (!kind) return false
    if (kind.access === 'owner')
      return seesOperations || (data['user'] === user && (restrictedTo === undefined || to.api_key === restrictedTo))
    const needed = neededFor(kind.access, data, to)
    if (needed === undefined) return false
    if (needed === 'signed-in') return true
    const allowed = needed.some(({ privilege, path }) => rights.allows(privilege, path))
    const isInPool = (pool: string) =>
      needed.some(({ privilege }) => rights.allows(privilege, `/api/resource-pools/${pool}`))
    return allowed || to.pools?.some(isInPool) === true || to.witnesses?.some(isWitness) === true
  }
  return { key: `${user}\n${name}\n${restrictedTo ?? ''}\n${address}`, user, mayReceive }
}
