import type { EngineKind } from '#shared/contracts/cluster/nodes.ts'
import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import type { EngineEvent } from '../engine.ts'
import type { Run } from './activity.ts'
import { openShelves, type Shelf } from './shelf.ts'

/** A host of the simulation. Its own place is `node`, as for all things. */
export type SimulatedNode = { id: string; node: string; cpus: number; memory_mib: number; engines: EngineKind[] }

/** Sizes of a guest. */
type Sizes = { memory: number; cpus: number; balloon: number | null; max_cpus: number | null; autostart: boolean }

/** State of a guest that is kept under a key, for a snapshot. `memory_bytes` null: without memory. */
type Kept = { key: string; memory_bytes: number | null }

/** A guest that its host defines. `id` is its handle; `sizes` are those of its next start, `current` those of its run. */
export type SimulatedGuest = Run & {
  id: string
  node: string
  name: string
  sizes: Sizes
  current: Sizes
  disks: { id: string; size_bytes: number }[]
  nics: string[]
  kept: Kept[]
}

/** A container of an engine. `runtime` and `definition` are the driver's. */
export type SimulatedContainer<D = unknown> = Run & {
  id: string
  node: string
  runtime: string
  name: string
  pid: number | null
  memory: number | null
  cpus: number | null
  pids: number | null
  exit_code: number | null
  created_at: string
  definition: D
}

/** The bytes of a volume or snapshot. `id` is its name, and `node` the place of its storage pool. */
export type SimulatedImage = { id: string; node: string; size_bytes: number; used_bytes: number }

/** The hosts, guests, containers and images of a simulated fleet, and the events of its engines. */
export type World = {
  nodes: Shelf<SimulatedNode>
  guests: Shelf<SimulatedGuest>
  containers: Shelf<SimulatedContainer>
  images: Shelf<SimulatedImage>
  /** Sends an event to the subscribers of all engines of a node; each driver knows its own things. */
  tell: (node: string, id: string, change: string) => void
  follow: (node: string, listener: (event: EngineEvent) => void) => () => void
  close: () => void
}

/** Opens a simulation, with its state of before. @param file where it is kept */
export function openWorld(file: string): World {
  const { shelf, close } = openShelves(file)
  const listeners = new Map<string, Set<(event: EngineEvent) => void>>()
  return {
    nodes: shelf('node'),
    guests: shelf('guest'),
    containers: shelf('container'),
    images: shelf('image'),
    tell: (node, id, change) => {
      for (const listener of listeners.get(node) ?? []) listener({ kind: 'object', id, change })
    },
    follow: (node, listener) => {
      const known = listeners.get(node) ?? new Set()
      listeners.set(node, known.add(listener))
      return () => void known.delete(listener)
    },
    close,
  }
}

const folder = '/simulated/'

/** The source of an image of the simulation. */
export const sourceOfImage = (place: string, name: string): DiskSource => ({
  type: 'file',
  path: `${folder}${encodeURIComponent(place)}/${name}`,
})

/** The image of a source; null for a source outside the simulation. */
export function imageOfSource({ images }: World, source: DiskSource): SimulatedImage | null {
  if (source.type !== 'file' || !source.path.startsWith(folder)) return null
  const [place = '', name = ''] = source.path.slice(folder.length).split('/')
  return images.get(decodeURIComponent(place), name)
}
