import type { Api } from '#shared/nodes/lxd/client.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { readTar, tarEnd } from '#shared/tar/read-tar.ts'
import { renameEntry } from '#shared/tar/rename-entry.ts'
import type { Ref } from '../driver.ts'
import type { ArchiveSource } from '../files.ts'
import type { Images, RootFiles } from '../parts.ts'
import { exportInstance } from './archives.ts'
import { instancePath, unlessGone } from './find.ts'
import type { Instance } from './instance.ts'
import { isUsedElsewhere } from './images.ts'

/** The folder of the root file system in a backup of the engine's form. */
const prefix = Buffer.from('backup/container/rootfs')
const slash = 0x2f

/** A path below the folder of the root file system; null for one that is not. */
export function pathInRoot(path: Buffer): Buffer | null {
  if (!path.subarray(0, prefix.length).equals(prefix)) return null
  const rest = path.subarray(prefix.length)
  if (rest.length === 0 || (rest.length === 1 && rest[0] === slash)) return Buffer.from('./')
  return rest[0] === slash ? rest.subarray(1) : null
}

/** Takes the root file system out of a backup of the engine's form, and leaves out all else, such as its times. */
export async function* rootOf(backup: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isInside = false
  for await (const part of readTar(backup)) {
    if (part.kind === 'data') {
      if (isInside) yield part.bytes
      continue
    }
    const { entry } = part
    const path = pathInRoot(entry.path)
    isInside = path !== null
    if (path === null) continue
    // A hard link names a path of the archive, any other link one of the container.
    const target = entry.type === '1' ? (pathInRoot(entry.target) ?? entry.target) : entry.target
    yield renameEntry(entry, path, target)
  }
  yield tarEnd
}

const within = ({ bytes, ...source }: ArchiveSource): ArchiveSource => ({ ...source, bytes: rootOf(bytes) })

type Parts = {
  need: (ref: Ref) => Promise<{ api: Api; instance: Instance }>
  apiOf: (reached: Reached) => Promise<Api>
  images: Images
}

export const lxdRootFiles = ({ need, apiOf, images }: Parts): RootFiles => ({
  read: async (ref) => {
    const { api, instance } = await need(ref)
    return within(await exportInstance(api, instancePath(instance.name)))
  },
  settings: async () => ({ settings: null, env: null }),
  hasVolumes: false,
  base: {
    kind: 'image',
    load: (reached, archive, name, _settings, how) => images.load(reached, 'rootfs', archive, name, how),
    // An instance has files of its own.
    tidy: async (reached, name) => {
      const fingerprint = await images.find(reached, name)
      await images.untag(reached, name)
      const api = await apiOf(reached)
      if (fingerprint === null || (await isUsedElsewhere(api, fingerprint))) return
      await unlessGone(api.send('DELETE', `/1.0/images/${encodeURIComponent(fingerprint)}`))
    },
  },
})
