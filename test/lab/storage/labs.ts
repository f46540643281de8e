import { type DiskSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { GivenConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { available } from '../requirements.ts'
import { missingForCeph, startCeph } from './ceph.ts'
import type { Site } from '../../../services/storage/drivers/driver.ts'

/** The lab of one storage kind, which the suite of storage drivers needs beside the driver. */
export type StorageLab<K extends PoolType = PoolType> = {
  site: Site
  /** The request of a storage pool; each call is of another place. */
  given: () => Promise<GivenConfig<K>>
  /** Puts something that is no volume of ours at a source. */
  putForeign: (source: DiskSource) => Promise<void>
  stop: () => Promise<void>
}

/** Name of a network image. */
const nameIn = (source: DiskSource) => (source.type === 'network' ? source.name : source.path)

/** A lab of every kind; a kind without one does not compile. Null: this machine lacks it, which is said aloud. */
export const storageLabs: { [K in PoolType]: () => Promise<StorageLab<K> | null> } = {
  dir: async () => {
    const host = localHost()
    const folder = (await host.runChecked('mktemp', ['-d'])).stdout.trim()
    let count = 0
    return {
      site: { host, folders: { allowed_paths: [folder], state_dir: `${folder}/state` } },
      given: async () => ({ node: 'hv1', path: `${folder}/pool-${count++}` }),
      putForeign: (source) => host.writeFile(pathOfSource(source)!, 'somebody else’s'),
      stop: async () => {
        await host.remove(folder, { recursive: true })
        await host.close()
      },
    }
  },
  ceph: async () => {
    if (!available('ceph', await missingForCeph())) return null
    const host = localHost()
    const { newPool, admin } = await startCeph()
    return {
      site: { host, folders: { allowed_paths: [], state_dir: '/nowhere' } },
      given: newPool,
      putForeign: async (source) => void (await admin('rbd', 'create', nameIn(source), '--size', '1M')),
      stop: () => host.close(),
    }
  },
}
