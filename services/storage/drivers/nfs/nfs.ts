import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import type { PoolDriver } from '../driver.ts'
import { type Mount, mountedCapabilities, mountedPool, mountFolder } from '../mounted/mounted.ts'

/**
 * Reads and writes fail after `timeout_seconds` without an answer, as `soft` does: hard ones would keep programs, and libvirt,
 * waiting for a server that never returns. The kernel waits `timeo` for the first answer, twice and three times that for the
 * two `retrans`, together six times: nfs(5). A missing file is asked for again, because another node may have made it.
 */
function mountOf({ server, port, export: folder, version, path, timeout_seconds }: PoolConfig<'nfs'>): Mount {
  const timeo = Math.max(1, Math.round((timeout_seconds * 10) / 6))
  const options = [
    `vers=${version ?? '4'}`,
    'proto=tcp',
    'soft',
    `timeo=${timeo}`,
    'retrans=2',
    'retry=0',
    'lookupcache=positive',
  ]
  if (port !== null) options.push(`port=${port}`)
  return {
    source: `${server}:${folder}`,
    path,
    options: ['-t', 'nfs', '-o', [...options, 'nosuid', 'nodev', 'noexec'].join(',')],
  }
}

/** Volumes are image files in an export of an NFS server of version 4, which each node mounts. */
export const nfs: PoolDriver<'nfs'> = {
  ...mountedPool<'nfs'>({ program: 'mount.nfs', types: ['nfs', 'nfs4'], mountOf }),

  nodesOf: ({ nodes }) => nodes ?? null,
  placeOf: ({ server, port, export: folder }) => `nfs://${server.toLowerCase()}:${port ?? 2049}${folder}`,
  capabilitiesOf: () => mountedCapabilities,

  async prepare(site, id, given) {
    const { nodes = null, port = null, version = null, timeout_seconds = 120 } = given
    return { ...given, nodes, port, version, timeout_seconds, path: await mountFolder(site, id, given.path) }
  },
}
