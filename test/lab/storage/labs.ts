import { type DiskSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { GivenConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { Site } from '../../../services/storage/drivers/driver.ts'

/** The lab of one storage kind, which the suite of storage drivers needs beside the driver. */
export type StorageLab<K extends PoolType = PoolType> = {
  site: Site
  /** The request of a storage pool; each call is of another place. */
  given: () => GivenConfig<K>
  /** Puts something that is no volume of ours at a source. */
  putForeign: (source: DiskSource) => Promise<void>
  stop: () => Promise<void>
}

/** A lab of every kind; a kind without one does not compile. */
export const storageLabs: { [K in PoolType]: () => Promise<StorageLab<K>> } = {
  dir: async () => {
    const host = localHost()
    const folder = (await host.runChecked('mktemp', ['-d'])).stdout.trim()
    let count = 0
    return {
      site: { host, folders: { allowed_paths: [folder], state_dir: `${folder}/state` } },
      given: () => ({ node: 'hv1', path: `${folder}/pool-${count++}` }),
      putForeign: (source) => host.writeFile(pathOfSource(source)!, 'somebody else’s'),
      stop: async () => {
        await host.remove(folder, { recursive: true })
        await host.close()
      },
    }
  },
}
