import { join } from 'node:path'
import type { Layer } from '../../images/layer.ts'
import type { Family } from '../driver.ts'
import { fileOfVolume } from './layer-names.ts'

/** The layers of a volume, by file. */
export type Layers = ReadonlyMap<string, Layer>

type Merge = {
  /** Its content goes into `base`, and it goes. */
  top: string
  base: string
  /** The files on top of `top`, which read from `base` from then on. */
  above: string[]
  byHypervisor: boolean
}

export type Plan = {
  bytes: number
  obstacle: string | null
  merge: Merge | null
  /** The content of `from` is copied into each file on top of it. */
  copies: { from: string; below: string | null; into: string[] } | null
  /** A file that nothing reads from. */
  leaf: string | null
}

const nothing: Plan = { bytes: 0, obstacle: null, merge: null, copies: null, leaf: null }
const refused = (obstacle: string): Plan => ({ ...nothing, obstacle })

/** The files that an image in use reads, itself included. */
function chainOf(layers: Layers, folder: string, head: string): Set<string> {
  const chain = new Set<string>()
  let file: string | undefined = head
  while (file !== undefined && !chain.has(file)) {
    chain.add(file)
    const backing: string | null | undefined = layers.get(file)?.backing
    file = [...layers.keys()].find((each) => join(folder, each) === backing)
  }
  return chain
}

/** A volume as a plan sees it. */
type Seen = { layers: Layers; folder: string; family: Family; inUse: Set<string> }

const childrenOf = ({ layers, folder }: Seen, file: string): string[] =>
  [...layers].filter(([, { backing }]) => backing === join(folder, file)).map(([name]) => name)

/**
 * Finds linked clones in other volumes that read a layer, directly or through those on top of it: guests may have all of
 * these files open. @returns the name of the state that they were made of; null for none
 */
function readByClones(layers: Layers, folder: string, { volume, snapshots, hasClones }: Family, file: string) {
  const bases = snapshots.filter((each) => each.hasClones).map((each) => ({ file: each.native, id: each.id }))
  const all = [...bases, ...(hasClones ? [{ file: fileOfVolume(volume), id: null }] : [])]
  const found = all.find((base) => chainOf(layers, folder, base.file).has(file))
  if (!found) return null
  return found.id === null ? volume.name : `snapshot ${found.id} of ${volume.name}`
}

/** Copies a layer with several files on top of it up into each. */
function copiesOf(seen: Seen, from: string, into: string[], what: string): Plan {
  const { layers, folder, inUse } = seen
  const branches = `${into.length} branches read from ${what}`
  if (into.some((each) => inUse.has(each)))
    return refused(`${branches}, and the guest runs on one of them: stop it, or delete the other branches first`)
  const { backing, allocatedBytes } = layers.get(from)!
  const below = [...layers.keys()].find((each) => join(folder, each) === backing) ?? null
  if (below === null && backing !== null)
    return refused(`${branches}, which is itself a linked clone: delete the other branches first`)
  return { ...nothing, bytes: allocatedBytes * into.length, copies: { from, below, into } }
}

/** Merges the one file on top of a layer down into it. */
function mergeOf(seen: Seen, base: string, top: string, what: string): Plan {
  const { layers, family, inUse } = seen
  const { volume, keptHeads } = family
  if (keptHeads.includes(top))
    return refused(
      `the state of ${volume.name} before its restore reads from ${what}: start the virtual machine, or undo the restore first`,
    )
  const above = childrenOf(seen, top)
  const merge = { top, base, above, byHypervisor: inUse.has(top) }
  return { ...nothing, bytes: layers.get(top)!.allocatedBytes, merge }
}

/**
 * Decides how the layer of a snapshot goes. One file on top of it: that one is merged down, and its own name goes.
 * Several: its content is copied up into each. The base of a linked clone in another volume is never written.
 */
export function deletionOf(layers: Layers, folder: string, family: Family, id: string, isRunning: boolean): Plan {
  const { volume, snapshots } = family
  const gone = snapshots.find((each) => each.id === id)
  if (!gone || !layers.has(gone.native)) return nothing
  const what = `snapshot ${id} of ${volume.name}`
  const read = readByClones(layers, folder, family, gone.native)
  if (read !== null)
    return refused(`linked clones read from ${read}${read === what ? '' : `, on top of ${what}`}: delete those first`)
  const inUse = isRunning ? chainOf(layers, folder, fileOfVolume(volume)) : new Set<string>()
  const seen = { layers, folder, family, inUse }
  const [only, ...others] = childrenOf(seen, gone.native)
  if (only === undefined) return { ...nothing, leaf: gone.native }
  return others.length > 0
    ? copiesOf(seen, gone.native, [only, ...others], what)
    : mergeOf(seen, gone.native, only, what)
}
