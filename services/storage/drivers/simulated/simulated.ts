import { setTimeout as delay } from 'node:timers/promises'
import type { PoolConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { NotFoundError } from '#shared/errors.ts'
import { fraction } from '#shared/nodes/simulated/activity.ts'
import { imageOfSource, type SimulatedImage, sourceOfImage, type World } from '#shared/nodes/simulated/world.ts'
import { type Figures, type PoolDriver, unknownFigures, type VolumeDriver } from '../driver.ts'
import { independentSnapshots, nameOfHead } from '../independent-snapshots.ts'

const tebi = 2 ** 40
const tool = 'simulation'
/** Parts in which a copy reports its progress, and the time of each. */
const copySteps = 8
const copyStepMs = 150

/** The part of a simulated disk that is written. */
const usedShare = (name: string): number => 0.1 + 0.6 * fraction(name, 'used')

/** The image of a volume in a place, with the bytes that it has written. */
export const imageOf = (place: string, name: string, size_bytes: number): SimulatedImage => ({
  id: name,
  node: place,
  size_bytes,
  used_bytes: Math.round(size_bytes * usedShare(name)),
})

export const identityIn = (place: string): string => `simulated ${place}`

/** Images in one place of the simulation, by their names in it. */
function placeIn({ images }: World, place: string) {
  return {
    find: (name: string) => images.get(place, name),
    all: () => images.all(place),
    make: (id: string, size_bytes: number, used_bytes = 0) => images.put({ id, node: place, size_bytes, used_bytes }),
    remove: (name: string) => images.remove(place, name),
  }
}

const figuresOf = ({ size_bytes, used_bytes }: SimulatedImage): Figures => ({
  ...unknownFigures,
  logical_bytes: size_bytes,
  referenced_bytes: used_bytes,
  exclusive_bytes: used_bytes,
  freed_if_deleted_bytes: used_bytes,
  source: tool,
})

/**
 * A storage pool that exists in a simulation only.
 * @param real the driver in whose place it stands: its configuration, nodes, places and formats stay
 */
export function simulatedPool<K extends PoolType>(world: World, real: PoolDriver<K>): PoolDriver<K> {
  const at = (config: PoolConfig<K>) => placeIn(world, real.placeOf(config as never))
  const identityOf = (config: PoolConfig<K>) => identityIn(real.placeOf(config as never))
  return {
    prepare: real.prepare,
    nodesOf: real.nodesOf,
    placeOf: real.placeOf,
    capabilitiesOf: (config) => ({
      ...real.capabilitiesOf(config),
      snapshots: true,
      live_clones: false,
      send: false,
      objects: false,
    }),
    create: async (_host, config) => identityOf(config),
    identify: async (_host, config) => identityOf(config),
    remove: async () => undefined,
    usage: async (_host, config) => {
      const used = at(config)
        .all()
        .reduce((sum, { used_bytes }) => sum + used_bytes, 0)
      const capacity_bytes = Math.max(4 * tebi, Math.ceil((used * 1.4) / tebi) * tebi)
      const available_bytes = capacity_bytes - used
      return {
        capacity_bytes,
        available_bytes,
        fills: [{ name: 'space', capacity_bytes, available_bytes }],
        figures: { ...unknownFigures, referenced_bytes: used, source: tool },
      }
    },
    ...(real.volumes && { volumes: simulatedVolumes(world, at, real) }),
  }
}

type At<K extends PoolType> = (config: PoolConfig<K>) => ReturnType<typeof placeIn>

function simulatedVolumes<K extends PoolType>(world: World, at: At<K>, real: PoolDriver<K>): VolumeDriver<K> {
  const sourceIn = (config: PoolConfig<K>, name: string) => sourceOfImage(real.placeOf(config as never), name)
  return {
    exists: async (_host, config, volume) => at(config).find(nameOfHead(volume)) !== null,
    sourceOn: async (_host, config, volume) => sourceIn(config, nameOfHead(volume)),
    create: async (_host, config, volume, { ifExists }) => {
      const there = at(config).find(nameOfHead(volume))
      if (there) return ifExists === 'accept' && there.size_bytes === volume.size_bytes
      await at(config).make(nameOfHead(volume), volume.size_bytes)
      return true
    },
    resize: async (_host, config, volume) => {
      const used = at(config).find(nameOfHead(volume))?.used_bytes
      await at(config).make(nameOfHead(volume), volume.size_bytes, used)
    },
    usage: async (_host, config, volume) => {
      const found = at(config).find(nameOfHead(volume))
      if (!found) throw new NotFoundError(`The simulation has no image '${nameOfHead(volume)}'`)
      return figuresOf(found)
    },
    delete: async (_host, config, volume) => at(config).remove(nameOfHead(volume)),
    copies: {
      dataBytes: async (_host, { source: from }) => imageOfSource(world, from)?.used_bytes ?? 0,
      full: async (_host, _from, config, volume, { signal, onProgress }) => {
        for (let step = 1; step <= copySteps; step++) {
          await delay(copyStepMs, undefined, { signal })
          onProgress(Math.round((volume.size_bytes * step) / copySteps))
        }
        await at(config).make(nameOfHead(volume), volume.size_bytes, Math.round(volume.size_bytes / 4))
        return true
      },
      linked: async (_host, _from, config, volume) => {
        await at(config).make(nameOfHead(volume), volume.size_bytes)
        return true
      },
    },
    snapshots: independentSnapshots<K>((_host, config) => {
      const place = at(config)
      const copy = async (from: string, to: string) => {
        const found = place.find(from)
        if (!found) throw new NotFoundError(`The simulation has no image '${from}'`)
        await place.make(to, found.size_bytes)
      }
      return {
        separator: ':',
        names: async () => place.all().map(({ id }) => id),
        sizeOf: async (name) => place.find(name)?.size_bytes ?? null,
        snapshot: copy,
        head: copy,
        remove: place.remove,
        original: async (name) => ({ source: sourceIn(config, name), format: 'raw' }),
        usage: async (name) => {
          const used = place.find(name)?.used_bytes ?? null
          return { held_bytes: used, freed_bytes: used }
        },
      }
    }),
  }
}
