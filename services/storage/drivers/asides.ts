/**
 * Volumes that are made aside, under a name of the try (try-mark.ts), and renamed to their place when they are complete: for
 * kinds whose volumes are no plain files. `made-files.ts` has the same for files.
 */
import { ConflictError } from '#shared/errors.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { isOlder, readMark, textOfMark, type TryMark, tryMark } from '#shared/runtime/try-mark.ts'
import type { IfExists, VolumeSpec } from './driver.ts'

/** The things of one storage pool, by their names in it. */
export type AsideStore = {
  /** A character that no volume has in its name. */
  separator: ':' | '+'
  names: () => Promise<string[]>
  /** The identity of a thing, which stays when it is renamed; null when nothing has the name. */
  identityOf: (name: string) => Promise<string | null>
  make: (name: string, size_bytes: number) => Promise<unknown>
  /** @returns false when something has the new name */
  rename: (from: string, to: string) => Promise<boolean>
  /** One that is gone is fine. */
  remove: (name: string) => Promise<unknown>
}

const beginningOf = ({ separator }: AsideStore, volume: string) => `${volume}${separator}new${separator}`

/** The name for a volume that is being made. @param operation instead of the running one */
export const asideOf = (store: AsideStore, volume: string, operation?: string): string =>
  beginningOf(store, volume) + textOfMark({ ...tryMark(), ...(operation !== undefined && { operation }) })

function markIn(store: AsideStore, volume: string, name: string): TryMark | null {
  const beginning = beginningOf(store, volume)
  return name.startsWith(beginning) ? readMark(name.slice(beginning.length)) : null
}

/** Removes volumes that were made aside for one. */
export async function removeAsides(
  store: AsideStore,
  volume: string,
  isWanted: (mark: TryMark) => boolean = () => true,
): Promise<void> {
  for (const name of await store.names()) {
    const mark = markIn(store, volume, name)
    if (mark && isWanted(mark)) await store.remove(name)
  }
}

/** Removes those of earlier tries of this operation. */
export const removeOlder = (store: AsideStore, volume: string, aside: string): Promise<void> => {
  const own = markIn(store, volume, aside)
  return removeAsides(store, volume, (other) => own !== null && isOlder(other, own))
}

/**
 * Makes a volume aside, fills it, and puts it in its place.
 * @returns false, with nothing changed there, when something else is in its place
 */
export async function makeAside(
  store: AsideStore,
  { name, size_bytes }: VolumeSpec,
  { ifExists }: IfExists,
  fill: (aside: string) => Promise<unknown>,
): Promise<boolean> {
  if ((await store.identityOf(name)) !== null) return ifExists === 'accept'
  const aside = asideOf(store, name)
  await removeOlder(store, name, aside)
  try {
    await store.make(aside, size_bytes)
    await fill(aside)
    await requireCurrent()
    return await store.rename(aside, name)
  } finally {
    await store.remove(aside)
  }
}

/** Makes an empty volume aside, for a hypervisor to fill. @returns its name and its identity */
export async function openAside(store: AsideStore, { name, size_bytes }: VolumeSpec, copy: string) {
  const aside = asideOf(store, name, copy)
  await removeOlder(store, name, aside)
  await store.make(aside, size_bytes)
  return { aside, file: (await store.identityOf(aside)) ?? '' }
}

/**
 * Puts the volume that a hypervisor has filled in its place. A repetition finds it there.
 * @throws ConflictError when it is another one than the hypervisor got
 */
export async function commitAside(store: AsideStore, { name }: VolumeSpec, aside: string, file: string): Promise<void> {
  const mark = markIn(store, name, aside)
  if (!mark) throw new ConflictError(`${aside} was not made for volume '${name}'`)
  if ((await store.identityOf(name)) !== file) {
    if ((await store.identityOf(aside)) !== file)
      throw new ConflictError(`${aside} is not the copy that was opened: it is not put in place`)
    await requireCurrent()
    if (!(await store.rename(aside, name)))
      throw new ConflictError(`Volume '${name}' is there already, and is not the copy`)
  }
  await removeAsides(store, name, ({ operation }) => operation === mark.operation)
}
