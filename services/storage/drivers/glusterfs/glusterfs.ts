import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import type { PoolDriver } from '../driver.ts'
import { type Mount, mountedCapabilities, mountedPool, mountFolder } from '../mounted/mounted.ts'

/**
 * The client in user space gives a brick up after `network.ping-timeout` of the volume, 42 s unless its administrator has set
 * another, and then fails reads and writes. The other servers name the volume when the first one is away.
 */
function mountOf({ servers, volume, folder, path }: PoolConfig<'glusterfs'>): Mount {
  const [first, ...others] = servers
  const options = ['nosuid', 'nodev', 'noexec', 'direct-io-mode=disable', 'log-level=ERROR']
  if (others.length > 0) options.push(`backup-volfile-servers=${others.join(':')}`)
  return {
    source: `${first}:/${folder === null ? volume : `${volume}/${folder}`}`,
    path,
    options: ['-t', 'glusterfs', '-o', options.join(',')],
  }
}

/** Volumes are image files in a volume of a GlusterFS cluster, which each node mounts by FUSE. */
export const glusterfs: PoolDriver<'glusterfs'> = {
  ...mountedPool<'glusterfs'>({ program: 'mount.glusterfs', types: ['fuse.glusterfs'], mountOf }),

  nodesOf: ({ nodes }) => nodes ?? null,
  placeOf: ({ servers, volume, folder }) =>
    `gluster://${servers
      .map((server) => server.toLowerCase())
      .toSorted()
      .join(',')}/${volume}/${folder ?? ''}`,
  capabilitiesOf: () => mountedCapabilities,

  async prepare(site, id, given) {
    const { nodes = null, folder = null } = given
    return { ...given, nodes, folder, path: await mountFolder(site, id, given.path) }
  },
}
