import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { LabHost } from '../hosts/hosts.ts'
import { insideOf } from '../hosts/inside.ts'

/** The folder of the storages, as the lab host sees it. */
const base = '/var/lib/libvirt/images/pve'

/** A stand-in for `pvesm path`, by pvesm(1): `local` is a folder, `blocks` has devices, `ceph` neither. */
const pvesm = `#!/bin/sh
[ "$1" = path ] && [ $# = 2 ] || { echo "400 unable to parse option" >&2; exit 255; }
case $2 in
  local:*) echo "${base}/images/\${2#local:}" ;;
  blocks:*) echo "${base}/dev/\${2#blocks:}" ;;
  ceph:*) echo "rbd:pool/\${2#ceph:}:conf=/etc/pve/ceph.conf" ;;
  *) echo "storage '\${2%%:*}' does not exist" >&2; exit 255 ;;
esac
`

export type ProxmoxHost = {
  /** Files of the storage `local`, as this machine sees them. */
  images: string
  /** Devices of the storage `blocks`: links to the host's own. */
  devices: string
}

/** Has a lab host answer `pvesm path`, with storages below its folder of images. Repeating it is fine. */
export async function asProxmoxHost(host: LabHost): Promise<ProxmoxHost> {
  const at = (name: string) => join(host.dir, 'pve', name)
  for (const name of ['images/100', 'dev', 'bin']) await mkdir(at(name), { recursive: true })
  await writeFile(at('bin/pvesm'), pvesm)
  await chmod(at('bin/pvesm'), 0o755)
  const inside = await insideOf(host)
  const run = (...words: string[]) => localHost().run('nsenter', [...inside, ...words])
  const { code } = await run('mountpoint', '-q', '/usr/local/sbin')
  if (code !== 0) {
    const mounted = await run('mount', '--bind', `${base}/bin`, '/usr/local/sbin')
    if (mounted.code !== 0) throw new Error(mounted.stderr)
  }
  return { images: at('images'), devices: at('dev') }
}
