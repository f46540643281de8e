import { join } from 'node:path'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { PoolConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { makeFile } from '#shared/nodes/host/made-files.ts'
import { type Layer, readLayer, readLayers } from '../../images/layer.ts'
import { overlayImage } from '../../images/qemu-img.ts'
import type { Family, Head, SnapshotDriver, VolumeName, VolumeSpec } from '../driver.ts'
import { createFile } from './image-files.ts'
import { fileOfVolume, formatOf, isFileOf, isImage, layerFile } from './layer-names.ts'
import { deletionOf, type Layers, type Plan } from './merge-plan.ts'
import { mergeInto, rebaseOnto, copyInto } from './merge.ts'

/** Longest chain of layers: each one costs a lookup per read, and a longer chain hardly opens. */
const deepest = 32

/** The number of layers that an image is read from, itself included. */
function depthOf(known: Layers, below: (backing: string | null | undefined) => string | null, top: string): number {
  let depth = 1
  for (let file = below(known.get(top)?.backing); file !== null && depth <= deepest; depth++)
    file = below(known.get(file)?.backing)
  return depth
}

/**
 * Snapshots as layers of qcow2: the file that guests wrote becomes the snapshot, and an empty file on top of it the head.
 * @param folderOf the folder of the volumes' files on a host
 */
export function layers<K extends PoolType>(folderOf: (config: PoolConfig<K>) => string): SnapshotDriver<K> {
  const at = (config: PoolConfig<K>, file: string) => join(folderOf(config), file)
  const read = (host: Host, config: PoolConfig<K>, file: string) => readLayer(host, at(config, file), formatOf(file))

  /** Makes an empty layer on top of a file, unless it is there. */
  async function makeLayer(
    host: Host,
    config: PoolConfig<K>,
    below: string,
    file: string,
    sizeBytes: number,
    names: readonly string[],
  ) {
    if (names.includes(file)) return
    const backing = { path: at(config, below), format: formatOf(below) }
    await makeFile(host, at(config, file), (aside) => overlayImage(host, backing, aside, sizeBytes), { names })
  }
  const namesIn = async (host: Host, config: PoolConfig<K>) =>
    (await host.list(folderOf(config))).map(({ name }) => name)

  /** Reads layers at once. @returns those that are there, by their files */
  async function readFiles(host: Host, config: PoolConfig<K>, files: string[]): Promise<Layers> {
    const images = files.map((file) => ({ path: at(config, file), format: formatOf(file) }))
    const found = await readLayers(host, images)
    return new Map(
      files.flatMap((file, index) => {
        const layer = found.get(images[index]!.path)
        return layer ? [[file, layer] as const] : []
      }),
    )
  }

  /** The layers in the folder that volumes read from, themselves included. */
  async function chainsOf(host: Host, config: PoolConfig<K>, volumes: readonly VolumeName[]): Promise<Layers> {
    const there = await namesIn(host, config)
    const known = new Map<string, Layer>()
    const looked = new Set<string>()
    // All files of the volumes at once; the bases of linked clones, one level after the other.
    let next = there.filter((file) => volumes.some((volume) => isFileOf(file, volume)))
    while (next.length > 0) {
      for (const file of next) looked.add(file)
      for (const [file, layer] of await readFiles(host, config, next)) known.set(file, layer)
      next = [...known.values()]
        .flatMap(({ backing }) => fileBelow(config, backing) ?? [])
        .filter((file, index, all) => !looked.has(file) && all.indexOf(file) === index)
    }
    return known
  }

  /** The file that a layer reads from; null for none in the folder. */
  function fileBelow(config: PoolConfig<K>, backing: string | null | undefined): string | null {
    const folder = `${folderOf(config)}/`
    const file = backing?.startsWith(folder) ? backing.slice(folder.length) : null
    return file !== null && isImage(file) ? file : null
  }

  async function layersOf(
    host: Host,
    config: PoolConfig<K>,
    { volume, snapshots, keptHeads }: Family,
  ): Promise<Layers> {
    const names = [fileOfVolume(volume), ...keptHeads, ...snapshots.map(({ native }) => native)]
    return readFiles(host, config, [...new Set(names)])
  }

  return {
    moment: 'hypervisor',

    async foresee(host, config, volumes) {
      const known = await chainsOf(host, config, volumes)
      const obstacles = volumes.flatMap((volume) => {
        const depth = depthOf(known, (backing) => fileBelow(config, backing), fileOfVolume(volume))
        if (depth < deepest) return []
        const reason = `reads from ${depth - 1} layers below, the most that there may be: delete snapshots of it first`
        return [{ volume: volume.name, reason }]
      })
      // An empty layer: its header and its tables.
      const held = new Map(
        volumes.map((volume) => [volume.name, known.get(fileOfVolume(volume))?.allocatedBytes ?? 0] as const),
      )
      return { needed_bytes: volumes.length * 2 ** 20, obstacles, held }
    },

    async take(host, config, volumes, id) {
      const names = await namesIn(host, config)
      const made = volumes.map(async (volume) => {
        const [below, file] = [fileOfVolume(volume), layerFile(volume.name, id)]
        await makeLayer(host, config, below, file, volume.size_bytes, names)
        const head: Head = { head: file, format: 'qcow2', size_bytes: volume.size_bytes }
        return { native: below, head }
      })
      // None is being made any more when one has failed.
      for (const each of await Promise.allSettled(made)) if (each.status === 'rejected') throw each.reason
      return Promise.all(made)
    },

    async open(host, config, volume, { native }, id) {
      const below = await read(host, config, native)
      if (!below) throw new NotFoundError(`${at(config, native)} is not on ${host.describe()}`)
      const file = layerFile(volume.name, id)
      await makeLayer(host, config, native, file, below.sizeBytes, await namesIn(host, config))
      return { head: file, format: 'qcow2', size_bytes: below.sizeBytes }
    },

    // A head is in place when the record of the volume names its file.
    swap: async () => undefined,

    async discard(host, config, volume, head) {
      const file = head ?? fileOfVolume({ ...volume, head })
      if (isFileOf(file, volume)) await host.remove(at(config, file))
    },

    async foreseeDeletion(host, config, family, id, isRunning) {
      const known = await layersOf(host, config, family)
      const foretold = deletionOf(known, folderOf(config), family, id, isRunning)
      const { bytes, obstacle, merge } = foretold
      const source = (file: string) => ({ type: 'file' as const, path: at(config, file) })
      return {
        plan: JSON.stringify(foretold),
        bytes,
        obstacle,
        merge: merge?.byHypervisor ? { top: source(merge.top), base: source(merge.base) } : null,
      }
    },

    async delete(host, config, family, id, how) {
      const { volume, snapshots } = family
      // It is of `foreseeDeletion` above.
      const plan = JSON.parse(how.plan) as Plan
      if (plan.obstacle !== null) throw new ConflictError(plan.obstacle)
      const left = snapshots.filter((each) => each.id !== id).map(({ id: other, native }) => ({ id: other, native }))
      const head = { head: volume.head ?? null, format: volume.format, size_bytes: volume.size_bytes }
      const folder = (file: string) => ({ path: at(config, file), format: formatOf(file) })
      if (plan.copies) {
        const { from, below, into } = plan.copies
        for (const file of into) await copyInto(host, folder(file), below === null ? null : folder(below), how)
        return { snapshots: left, head, leftover: from }
      }
      if (!plan.merge) return { snapshots: left, head, leftover: plan.leaf }
      const { top, base, above } = plan.merge
      if (!how.isMerged) await mergeInto(host, folder(top), folder(base), how)
      for (const file of above) await rebaseOnto(host, folder(file), folder(base))
      const moved = (native: string) => (native === top ? base : native)
      const isHead = fileOfVolume(volume) === top
      return {
        snapshots: left.map((each) => ({ id: each.id, native: moved(each.native) })),
        head: isHead ? { head: base, format: formatOf(base), size_bytes: volume.size_bytes } : head,
        leftover: top,
      }
    },

    async deleteAll(host, config, { volume, snapshots, keptHeads }) {
      const files = [fileOfVolume(volume), ...keptHeads, ...snapshots.map(({ native }) => native)]
      for (const file of files) if (isFileOf(file, volume)) await host.remove(at(config, file))
    },

    async list(host, config, volume) {
      const files = await host.list(folderOf(config))
      return files.map(({ name }) => name).filter((name) => isFileOf(name, volume))
    },

    async usage(host, config, family) {
      const known = await layersOf(host, config, family)
      const folder = folderOf(config)
      const hasChildren = (file: string) => [...known.values()].some(({ backing }) => backing === join(folder, file))
      return family.snapshots.map(({ id, native, hasClones }) => {
        const held_bytes = known.get(native)?.allocatedBytes ?? null
        // Bytes that the layer above hides are known only by reading both.
        return { id, held_bytes, freed_bytes: hasChildren(native) || hasClones ? null : held_bytes }
      })
    },

    original: async (_host, config, _volume, { native }) => ({
      source: { type: 'file', path: at(config, native) },
      format: formatOf(native),
    }),

    clone: (host, config, { snapshot }, volume: VolumeSpec, how) =>
      createFile(host, at(config, fileOfVolume(volume)), how, (aside) =>
        overlayImage(
          host,
          { path: at(config, snapshot.native), format: formatOf(snapshot.native) },
          aside,
          volume.size_bytes,
        ),
      ),
  }
}
