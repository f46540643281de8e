import { type Caller, type Rights, restrictedKeyOf } from '#shared/access/access.ts'
import { fillPath, onPath } from '#shared/contract/contract.ts'
import { events } from '#shared/contracts/core/events.ts'
import type { Witness } from '#shared/contracts/access/permissions.ts'
import { isInNetworks } from '#shared/access/networks.ts'
import type { Frame } from './frame.ts'

/** Readers that may see the same: the same user with the same rights, from the same address. */
export type Audience = { key: string; user: string; mayReceive: (frame: Frame) => boolean }

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
    const { privilege, path } = onPath(kind.access)
    const allowed = rights.allows(privilege, fillPath(path, data))
    const isInPool = to.pools?.some((pool) => rights.allows(privilege, `/api/resource-pools/${pool}`))
    return allowed || isInPool === true || to.witnesses?.some(isWitness) === true
  }
  return { key: `${user}\n${name}\n${restrictedTo ?? ''}\n${address}`, user, mayReceive }
}
