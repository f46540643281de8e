import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { secretFiles } from '#shared/nodes/host/secret-files.ts'
import type { PoolDriver } from '../driver.ts'
import { type Mount, mountedCapabilities, mountedPool, mountFolder } from '../mounted/mounted.ts'

/** The credentials file of mount.cifs(8). */
const credentials = ({ user, domain, password }: PoolConfig<'cifs'>): string =>
  [`username=${user}`, `password=${password}`, ...(domain === null ? [] : [`domain=${domain}`]), ''].join('\n')

/**
 * A server that is silent for three times the echo interval is given up, and reads and writes fail. `nobrl`: locks of ranges
 * are mandatory on such a server, and QEMU's own, which are in the first sector, would refuse a guest to write it; a record
 * gives each volume one owner.
 */
function mountOf(config: PoolConfig<'cifs'>): Mount {
  const { server, port, share, folder, owner, version, path, timeout_seconds } = config
  const options = [
    `credentials=${secretFiles[0]}`,
    `vers=${version ?? '3'}`,
    `echo_interval=${Math.max(1, Math.round(timeout_seconds / 3))}`,
    `uid=${owner}`,
    'soft,nobrl,serverino,mapposix,iocharset=utf8,gid=0,file_mode=0600,dir_mode=0711,nosuid,nodev,noexec',
  ]
  if (port !== null) options.push(`port=${port}`)
  return {
    source: `//${server.replace(/^\[(.*)\]$/, '$1')}/${folder === null ? share : `${share}/${folder}`}`,
    path,
    options: ['-t', 'cifs', '-o', options.join(',')],
    secret: credentials(config),
  }
}

/** Volumes are image files in a share of an SMB server, which each node mounts. */
export const cifs: PoolDriver<'cifs'> = {
  ...mountedPool<'cifs'>({ program: 'mount.cifs', types: ['cifs', 'smb3'], mountOf }),

  nodesOf: ({ nodes }) => nodes ?? null,
  placeOf: ({ server, port, share, folder }) =>
    `smb://${server}:${port ?? 445}/${share}`.toLowerCase() + (folder === null ? '' : `/${folder}`),
  capabilitiesOf: () => mountedCapabilities,

  async prepare(site, id, given) {
    const {
      nodes = null,
      port = null,
      folder = null,
      domain = null,
      owner = 'root',
      version = null,
      timeout_seconds = 120,
    } = given
    const path = await mountFolder(site, id, given.path)
    return { ...given, nodes, port, folder, domain, owner, version, timeout_seconds, path }
  },
}
