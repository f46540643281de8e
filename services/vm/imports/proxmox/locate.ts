import { call } from '#shared/bus/call.ts'
import { type ForeignDisk, volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { Violation } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { packageOf } from '#shared/nodes/host/packages.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { checking } from '#shared/service/violations.ts'
import type { Drive } from './map-drives.ts'

/** Part of the 4.5 s of a request. */
const readingMs = 4000

/** The violation for a host that is not the node which has the virtual machine, or lacks a program. */
async function hostViolations(host: Host, node: string): Promise<Violation[]> {
  const say = (code: string, message: string) => ({ field: 'source_node', code, message })
  const [pvesm, qemuNbd, uname] = await Promise.all([
    host.which('pvesm'),
    host.which('qemu-nbd'),
    host.runChecked('uname', ['-n']),
  ])
  if (pvesm === null) return [say('tool', `${host.describe()} has no pvesm: it is no Proxmox VE host`)]
  if (qemuNbd === null)
    return [say('tool', `${host.describe()} has no qemu-nbd; the package ${packageOf('qemu-nbd')} brings it`)]
  // Storages of the same name on two nodes have different volumes of the same name.
  const name = uname.stdout.trim().split('.')[0]
  if (name === node) return []
  return [say('other_node', `it is the node '${name}' there, and the virtual machine is on '${node}'`)]
}

/** The path of a volume on its node, or the violation for one that cannot be read there. */
async function pathOf(host: Host, { key, volume }: Drive): Promise<string | Violation> {
  const refuse = (code: string, why: string) => ({ field: 'vmid', code, message: `${key}: ${volume} ${why}` })
  const { code, stdout, stderr } = await host.run('pvesm', ['path', volume])
  if (code !== 0) return refuse('unreadable', `is not found by pvesm: ${stderr.trim().slice(0, 500)}`)
  const path = stdout.replace(/\n$/, '')
  if (!path.startsWith('/') || path.includes('\n'))
    return refuse('unsupported', `is at '${path.slice(0, 100)}': only files and block devices of the node are read`)
  const kind = (await host.stat(path))?.kind
  if (kind === undefined)
    return refuse(
      'inactive',
      `is at ${path}, which is not there; the storage may have deactivated a block device: activate it on the node (lvchange -ay ${path}), since nothing is changed there from here`,
    )
  if (kind !== 'file' && kind !== 'block-device') return refuse('unsupported', `is at ${path}, which is a ${kind}`)
  return path
}

/** Finds the disks of a virtual machine on its node over SSH. @returns those that can be read; undefined for others */
export async function locate(
  sourceNode: string,
  theirNode: string,
  drives: Drive[],
  violations: Violation[],
): Promise<(ForeignDisk | undefined)[]> {
  const none = drives.map(() => undefined)
  const reached = await checking('source_node', violations, () => reach(sourceNode))
  if (!reached) return none
  const { host } = reached
  const against = await hostViolations(host, theirNode)
  violations.push(...against)
  if (against.length > 0) return none
  // One after the other they would take longer than a request may.
  const looks = await Promise.all(drives.map((drive) => lookAt(host, sourceNode, drive)))
  violations.push(...looks.flatMap(({ against }) => against))
  return looks.map(({ disk }) => disk)
}

async function lookAt(host: Host, node: string, drive: Drive): Promise<{ disk?: ForeignDisk; against: Violation[] }> {
  const path = await pathOf(host, drive)
  if (typeof path !== 'string') return { against: [path] }
  const against: Violation[] = []
  const disk = { node, path, format: drive.format }
  const read = await checking('vmid', against, () =>
    call(volumesInternal, 'inspectForeign', disk, { timeoutMs: readingMs }),
  )
  return { against, ...(read && { disk: { ...disk, ...read } }) }
}

/** The times at which the files of disks were last changed; block devices have none. */
export async function fileTimes(disks: ForeignDisk[]): Promise<(string | null)[]> {
  const times: (string | null)[] = []
  for (const { node, path } of disks) {
    const found = await (await reach(node)).host.stat(path)
    times.push(found?.kind === 'file' ? found.modifiedAt.toISOString() : null)
  }
  return times
}
