import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { allowedPath, onNamedPath } from '#shared/nodes/host/allowed-path.ts'
import { imageAt } from '../../images/image-at.ts'
import { type PoolDriver, unknownFigures } from '../driver.ts'
import { createMarker, markerName, readMarker } from '../marker.ts'
import { fileObjects, isWithoutObjects, objectFolder } from './file-objects.ts'
import { fileVolumes } from './file-volumes.ts'

/** Names in the folder of a storage pool without volumes. */
const unused = new Set([markerName, objectFolder])

/** Volumes are image files in a folder, `<name>.<format>`. */
export const dir: PoolDriver<'dir'> = {
  nodesOf: ({ node, shared_with = [] }) => [...new Set([node, ...shared_with])],
  placeOf: ({ node, path }) => `${node}:${path}`,
  capabilitiesOf: ({ shared_with = [] }) => ({
    formats: ['qcow2', 'raw'],
    default_format: 'qcow2',
    snapshots: true,
    linked_clones: true,
    linked_clone_format: 'qcow2',
    linked_clones_pinned: true,
    live_clones: true,
    send: false,
    shared: shared_with.length > 0,
    live_resize: true,
    objects: true,
  }),

  async prepare({ host, folders }, id, { node, path = `${folders.state_dir}/pools/${id}`, shared_with }) {
    const allowed = await allowedPath(host, path, folders, 'path')
    return { node, path: allowed, ...(shared_with && { shared_with }) }
  },

  async create(host, { path }) {
    await onNamedPath('path', async () => {
      const there = await host.stat(path)
      if (there && there.kind !== 'directory')
        throw new ConflictError(`${path} on ${host.describe()} is a ${there.kind}, not a folder`)
      // QEMU may run as another user: it must be able to pass through.
      await host.mkdir(path, { mode: 0o711 })
    })
    return createMarker(host, path)
  },

  identify: (host, { path }) => readMarker(host, path),

  async remove(host, { path }) {
    const files = await host.list(path).catch((error: unknown) => {
      if (error instanceof NotFoundError) return undefined
      throw error
    })
    if (files?.every(({ name }) => unused.has(name)) && (await isWithoutObjects(host, path)))
      await host.remove(path, { recursive: true })
  },

  async usage(host, { path }) {
    const { totalBytes: capacity_bytes, freeBytes: available_bytes } = await host.space(path)
    return {
      capacity_bytes,
      available_bytes,
      fills: [{ name: 'space', capacity_bytes, available_bytes }],
      // The file system may hold more than the storage pool.
      figures: { ...unknownFigures, source: 'statfs' },
    }
  },

  detect: imageAt,

  volumes: fileVolumes(({ path }) => path),
  objects: fileObjects(({ path }) => path),
}
