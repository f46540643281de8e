import { basename, dirname } from 'node:path'
import { type DiskSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { GivenConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { available } from '../requirements.ts'
import { missingForCeph, startCeph } from './ceph.ts'
import { loopMount } from './loop-mount.ts'
import { storageNode } from './storage-node.ts'
import type { Site } from '../../../services/storage/drivers/driver.ts'

/** The lab of one storage kind, which the suite of storage drivers needs beside the driver. */
export type StorageLab<K extends PoolType = PoolType> = {
  site: Site
  /** Its commands take long, as in a guest without hardware virtualization: long tests draw a sample. */
  isSlow?: boolean
  /** The request of a storage pool; each call is of another place. */
  given: () => Promise<GivenConfig<K>>
  /** Puts something that is no volume of ours at a source. */
  putForeign: (source: DiskSource) => Promise<void>
  stop: () => Promise<void>
}

let count = 0
/** In the names of this file's things in the storage node, which several files may share. */
const runId = `w${process.pid}x${Date.now().toString(36)}`
const noFolders = { allowed_paths: [], state_dir: '/var/lib/horcrux' }

/** Name of a network image. */
const nameIn = (source: DiskSource) => (source.type === 'network' ? source.name : source.path)

/** A lab of every kind; a kind without one does not compile. Null: this machine lacks it, which is said aloud. */
export const storageLabs: { [K in PoolType]: () => Promise<StorageLab<K> | null> } = {
  dir: async () => {
    const host = localHost()
    const folder = (await host.runChecked('mktemp', ['-d'])).stdout.trim()
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
      isSlow: true,
      given: newPool,
      putForeign: async (source) => void (await admin('rbd', 'create', nameIn(source), '--size', '1M')),
      stop: () => host.close(),
    }
  },

  zfs: async () => {
    const node = await storageNode()
    if (!node) return null
    const { host } = node
    return {
      site: { host, folders: noFolders },
      isSlow: true,
      given: async () => ({ node: 'hv1', dataset: `tank/${runId}-${count++}` }),
      putForeign: async (source) => {
        const dataset = pathOfSource(source)!.replace('/dev/horcrux/', '')
        await host.runChecked('zfs', ['create', '-o', 'mountpoint=none', dataset])
      },
      stop: async () =>
        void (await host.run('sh', [
          '-c',
          'zfs list -Ho name -d 1 tank | grep "$1-" | xargs -rn 1 zfs destroy -R',
          'sh',
          runId,
        ])),
    }
  },

  lvm: async () => {
    const node = await storageNode()
    if (!node) return null
    const { host } = node
    return {
      site: { host, folders: noFolders },
      isSlow: true,
      given: async () => ({ node: 'hv1', volume_group: 'vg', thin_pool: `t${runId}-${count++}`, size: 300 * 2 ** 20 }),
      putForeign: async (source) => {
        await host.runChecked('lvcreate', ['-qq', '-y', '-L', '4m', '-n', basename(pathOfSource(source)!), 'vg'])
      },
      stop: async () => void (await host.run('sh', ['-c', 'lvremove -qq -f -y vg', 'sh'])),
    }
  },

  btrfs: async () => {
    const mounted = await loopMount('btrfs')
    if (!mounted) return null
    const { host, folder } = mounted
    return {
      site: { host, folders: { allowed_paths: [folder], state_dir: `${folder}/state` } },
      given: async () => ({ node: 'hv1', path: `${folder}/pool-${count++}` }),
      putForeign: async (source) => {
        await host.mkdir(dirname(pathOfSource(source)!))
        await host.writeFile(pathOfSource(source)!.replace('disk.raw', 'theirs'), 'somebody else’s')
      },
      stop: mounted.stop,
    }
  },
}
