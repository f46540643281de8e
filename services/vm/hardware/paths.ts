import { call } from '#shared/bus/call.ts'
import type { Disk } from '#shared/contracts/vm/hardware.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { invalid, NotFoundError, type Violation } from '#shared/errors.ts'
import { allowedPath, onNamedPath } from '#shared/nodes/host/allowed-path.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { vmRecords } from '../model.ts'
import { checking } from '../violations.ts'

type Paths = { iso?: string | null; kernel?: string; initrd?: string }

const image = /\.(qcow2|raw)$/

/** What is on a disk is for whoever may have that disk: nobody reads it by calling it an ISO or a kernel. */
async function refuseDisk(node: string, path: string, field: string): Promise<void> {
  const refused = () => invalid(field, 'is a disk: attach it as a volume of its pool', 'disk')
  if (await vmRecords.find({ node, 'disks.path': path })) throw refused()
  const format = image.exec(path)?.[1] as Disk['format'] | undefined
  if (format && (await call(volumesInternal, 'locate', { node, path, format })).pool !== null) throw refused()
}

/** The real path of a file that may be read for a guest. */
export async function requireFile({ host, node }: Reached, path: string, field: string): Promise<string> {
  const real = await allowedPath(host, path, node, field)
  const file = await onNamedPath(field, () => host.stat(real))
  if (file?.kind !== 'file') throw new NotFoundError(`${path} is not a file on node '${node.id}'`)
  await refuseDisk(node.id, real, field)
  return real
}

/** Every file that is named must be there, in a folder that the node allows. */
export async function requirePaths(
  reached: Reached,
  { iso, kernel, initrd }: Paths,
  violations: Violation[],
): Promise<void> {
  const fields = { iso, 'boot.kernel': kernel, 'boot.initrd': initrd }
  for (const [field, path] of Object.entries(fields)) {
    if (!path) continue
    await checking(field, violations, () => requireFile(reached, path, field))
  }
}
