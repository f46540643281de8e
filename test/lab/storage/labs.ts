import { mkdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type DiskSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { GivenConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { isTorture, sample, seedOf } from '../faults/seed.ts'
import { available } from '../requirements.ts'
import { missingForCeph, startCeph } from './ceph.ts'
import { gateway, kernelNode } from './kernel-node.ts'
import { loopMount } from './loop-mount.ts'
import { missingForS3, startS3 } from './servers/s3.ts'
import { missingFor, startServer } from './servers/servers.ts'
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

/** Mounts of this file alone, in a node that several may share. */
const foldersFor = (kind: PoolType) => ({ allowed_paths: [], state_dir: `/var/lib/horcrux/${runId}-${kind}` })

/**
 * The kinds for one file of tests. Those in emulated nodes, whose commands take minutes in all, are drawn by the seed: one of
 * zfs, lvm and the mounted one, so that the files of a run have several, and the torture has all.
 */
export function drawnKinds(seed: string): PoolType[] {
  const emulated: PoolType[] = ['zfs', 'lvm', ...mounted]
  const drawn = new Set(sample(emulated, seed, 1))
  return (Object.keys(storageLabs) as PoolType[]).filter((kind) => !emulated.includes(kind) || drawn.has(kind))
}

/** Makes a folder for a storage pool at a server of this machine. @returns its name */
function newFolderIn(parent: string): string {
  const name = `${runId}-${count++}`
  mkdirSync(join(parent, name))
  return name
}

/** Name of a network image. */
const nameIn = (source: DiskSource) => (source.type === 'network' ? source.name : source.path)

/** Kinds that an emulated node mounts: all but the mount is the same, so each file of a run has one of them, by seed. */
const mounted: PoolType[] = sample(['nfs', 'cifs'], seedOf('mounted-pools'), 1)

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

  nfs: async () => {
    if (!available('nfs', await missingFor('nfs')) || !mounted.includes('nfs')) return null
    const node = await kernelNode()
    if (!node) return null
    const { dir, port } = await startServer('nfs', 'ganesha')
    return {
      site: { host: node.host, folders: foldersFor('nfs') },
      isSlow: true,
      given: async () => {
        const name = newFolderIn(join(dir, 'export'))
        return { server: gateway, port, export: `/vms/${name}`, timeout_seconds: 10 }
      },
      putForeign: (source) => node.host.writeFile(pathOfSource(source)!, 'somebody else’s'),
      stop: async () => undefined,
    }
  },

  glusterfs: async () => {
    // Slow to start, and as a mount like the others.
    if (!isTorture || !available('glusterfs', await missingFor('glusterfs'))) return null
    const host = localHost()
    const { dir } = await startServer('glusterfs', 'glusterd')
    const address = readFileSync(join(dir, 'address'), 'utf8').trim()
    const state = (await host.runChecked('mktemp', ['-d'])).stdout.trim()
    return {
      site: { host, folders: { allowed_paths: [], state_dir: state } },
      given: async () => ({ servers: [address], volume: 'vms', folder: newFolderIn(join(dir, 'brick')) }),
      putForeign: (source) => host.writeFile(pathOfSource(source)!, 'somebody else’s'),
      stop: async () => {
        await host.run('sh', ['-c', 'umount "$1"/mounts/*', 'sh', state])
        await host.run('sh', ['-c', 'chattr -i "$1"/mounts/*; rmdir "$1"/mounts/* "$1"/mounts "$1"', 'sh', state])
        await host.close()
      },
    }
  },

  iscsi: async () => {
    if (!available('iscsi', await missingFor('iscsi'))) return null
    const host = localHost()
    const { dir, port, ask } = await startServer('iscsi', 'tgtd')
    const password = readFileSync(join(dir, 'password'), 'utf8').trim()
    return {
      site: { host, folders: noFolders },
      given: async () => {
        // Numbers and names that no other file of the run has.
        const id = (process.pid % 20_000) * 50 + count++
        const target = `iqn.2026-11.lan.store:${runId}-${id}`
        await ask('target', id, target, 'horcrux')
        for (const [lun, MiB] of [64, 128].entries()) await ask('lun', id, lun + 1, MiB)
        return { server: '127.0.0.1', port, target, user: 'horcrux', password, highest_lun: 3 }
      },
      // Its units are there without us.
      putForeign: async () => undefined,
      stop: () => host.close(),
    }
  },

  s3: async () => {
    if (!available('s3', await missingForS3())) return null
    const host = localHost()
    return {
      site: { host, folders: noFolders },
      given: await startS3(),
      // It holds no volumes.
      putForeign: async () => undefined,
      stop: () => host.close(),
    }
  },

  cifs: async () => {
    if (!available('cifs', await missingFor('cifs')) || !mounted.includes('cifs')) return null
    const node = await kernelNode()
    if (!node) return null
    const { dir, port } = await startServer('cifs', 'smbd')
    const password = readFileSync(join(dir, 'password'), 'utf8').trim()
    return {
      site: { host: node.host, folders: foldersFor('cifs') },
      isSlow: true,
      given: async () => {
        const folder = newFolderIn(join(dir, 'export'))
        return { server: gateway, port, share: 'vms', folder, user: 'root', password, timeout_seconds: 10 }
      },
      putForeign: (source) => node.host.writeFile(pathOfSource(source)!, 'somebody else’s'),
      stop: async () => undefined,
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
