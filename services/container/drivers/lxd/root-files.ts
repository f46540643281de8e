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

/** A range of users or groups of the node that those of a container are on the disk (LXD: `volatile.last_state.idmap`). */
export type IdMap = { Isuid: boolean; Isgid: boolean; Hostid: number; Nsid: number; Maprange: number }

/** The list is empty where the kernel maps the users of the mount: the disk has those of the container. */
const mapsOf = ({ config }: Pick<Instance, 'config'>): IdMap[] =>
  // The engine's own list.
  JSON.parse(config['volatile.last_state.idmap'] || '[]') as IdMap[]

/** The user that a container has for one of the disk: the backup of the engine has the latter. */
function unshifted(id: number, maps: readonly IdMap[], kind: 'Isuid' | 'Isgid'): number {
  const map = maps.find((each) => each[kind] && id >= each.Hostid && id < each.Hostid + each.Maprange)
  return map ? id - map.Hostid + map.Nsid : id
}

/** A path below the folder of the root file system; null for one that is not. */
export function pathInRoot(path: Buffer): Buffer | null {
  if (!path.subarray(0, prefix.length).equals(prefix)) return null
  const rest = path.subarray(prefix.length)
  if (rest.length === 0 || (rest.length === 1 && rest[0] === slash)) return Buffer.from('./')
  return rest[0] === slash ? rest.subarray(1) : null
}

/** Takes the root file system out of a backup of the engine's form, and leaves out all else, such as its times. */
export async function* rootOf(backup: AsyncIterable<Buffer>, maps: readonly IdMap[] = []): AsyncGenerator<Buffer> {
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
    const owner = { uid: unshifted(entry.uid, maps, 'Isuid'), gid: unshifted(entry.gid, maps, 'Isgid') }
    yield renameEntry(entry, path, target, owner)
  }
  yield tarEnd
}

const within = ({ bytes, ...source }: ArchiveSource, maps: readonly IdMap[]): ArchiveSource => ({
  ...source,
  bytes: rootOf(bytes, maps),
})

type Parts = {
  need: (ref: Ref) => Promise<{ api: Api; instance: Instance }>
  apiOf: (reached: Reached) => Promise<Api>
  images: Images
}

export const lxdRootFiles = ({ need, apiOf, images }: Parts): RootFiles => ({
  read: async (ref) => {
    const { api, instance } = await need(ref)
    return within(await exportInstance(api, instancePath(instance.name)), mapsOf(instance))
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
