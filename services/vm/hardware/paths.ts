import { call } from '#shared/bus/call.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { invalid, NotFoundError, type Violation } from '#shared/errors.ts'
import { allowedPath, onNamedPath } from '#shared/nodes/host/allowed-path.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { vmRecords } from '../model.ts'
import { checking } from '../violations.ts'

type Paths = { iso?: string | null; kernel?: string; initrd?: string }

/** Refuses a disk as an ISO, kernel or image: its content is only for those who may use the disk. @throws ValidationError */
async function refuseDisk(node: string, path: string, field: string): Promise<void> {
  const refused = () => invalid(field, 'is a disk: attach it as a volume of its storage pool', 'disk')
  if (await vmRecords.find({ node, 'disks.source.path': path })) throw refused()
  const { pool } = await call(volumesInternal, 'locate', { node, source: { type: 'file', path } })
  if (pool !== null) throw refused()
}

/** The real path of a file that may be given to a guest. @throws NotFoundError, ValidationError */
export async function requireFile({ host, node }: Reached, path: string, field: string): Promise<string> {
  const real = await allowedPath(host, path, node, field)
  const file = await onNamedPath(field, () => host.stat(real))
  if (file?.kind !== 'file') throw new NotFoundError(`${path} is not a file on node '${node.id}'`)
  await refuseDisk(node.id, real, field)
  return real
}

/** Adds a violation for each named file that is missing, or in no allowed folder of the node. */
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
