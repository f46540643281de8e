import { CommandError } from '../errors.ts'
import { isElements } from './update-paths.ts'

const conflict = (path: string, at: string): CommandError =>
  new CommandError(40, `Updating the path '${path}' would create a conflict at '${at}'`)

const isWithin = (path: string, above: string): boolean => `${path}.`.startsWith(`${above}.`)

/**
 * The paths of an update as a tree. Below one path all names are fields or places, or all stand for several elements
 * (`$[]`, `$[name]`). A path that an operator works on has nothing below it.
 */
export type Claims = { kind: 'fields' | 'elements' | 'leaf'; below: Map<string, Claims> }

export const noClaims = (): Claims => ({ kind: 'fields', below: new Map() })

const kindAt = (parts: readonly string[], depth: number): Claims['kind'] => {
  if (depth === parts.length - 1) return 'leaf'
  return isElements(parts[depth + 1]) ? 'elements' : 'fields'
}

/**
 * Notes the path of an operator, and lets each part of it be checked in turn.
 * @throws CommandError 40 for a path that is claimed already, or within another
 */
export const claim = (claims: Claims, parts: readonly string[], check: (depth: number) => void): void => {
  let above = claims
  for (const [depth, part] of parts.entries()) {
    check(depth)
    const kind = kindAt(parts, depth)
    const known = above.below.get(part)
    if (known && (kind === 'leaf' || known.kind !== kind))
      throw conflict(parts.join('.'), parts.slice(0, depth + 1).join('.'))
    const here = known ?? { kind, below: new Map() }
    above.below.set(part, here)
    above = here
  }
}

/** Two array filters may find the same element: notes the place. @throws CommandError 40 where it was noted before */
export const checkMeeting = (places: string[], place: string): void => {
  const met = places.find((known) => isWithin(place, known) || isWithin(known, place))
  if (met !== undefined) throw new CommandError(40, `Update created a conflict at '${met}'`)
  places.push(place)
}
