import { compareValues } from './compare.ts'
import { CommandError } from './errors.ts'

const conflict = (path: string, at: string): CommandError =>
  new CommandError(40, `Updating the path '${path}' would create a conflict at '${at}'`)

const isWithin = (path: string, above: string): boolean => `${path}.`.startsWith(`${above}.`)

/** Below one path all names are fields or places, or all stand for several elements (`$[]`, `$[name]`). */
const checkKinds = (paths: readonly string[]): void => {
  const kinds = new Map<string, boolean>()
  for (const path of paths) {
    const parts = path.split('.')
    for (let depth = 1; depth < parts.length; depth++) {
      const above = parts.slice(0, depth).join('.')
      const isOpen = parts[depth]?.startsWith('$[') === true
      if ((kinds.get(above) ?? isOpen) !== isOpen) throw conflict(path, above)
      kinds.set(above, isOpen)
    }
  }
}

/** Refuses two operators on one path, or one within the other. @throws CommandError 40 */
export const checkConflicts = (paths: readonly string[]): void => {
  const sorted = paths.toSorted((a, b) => compareValues(`${a}.`, `${b}.`))
  for (let i = 1; i < sorted.length; i++) {
    const [before, path] = [sorted[i - 1] as string, sorted[i] as string]
    if (isWithin(path, before)) throw conflict(path, before)
  }
  checkKinds(paths)
}

/** Two array filters may find the same element: notes the place. @throws CommandError 40 where it was noted before */
export const checkMeeting = (places: string[], place: string): void => {
  const met = places.find((known) => isWithin(place, known) || isWithin(known, place))
  if (met !== undefined) throw new CommandError(40, `Update created a conflict at '${met}'`)
  places.push(place)
}
