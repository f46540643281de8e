import { call } from '#shared/bus/call.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { invalid, NotFoundError, type Violation } from '#shared/errors.ts'
import { allowedPath, onNamedPath } from '#shared/nodes/host/allowed-path.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { userOf } from './disk-users.ts'
import { checking } from '#shared/service/violations.ts'

type Paths = { iso?: string | null; kernel?: string; initrd?: string }

/** Refuses a disk as an ISO, kernel or image: its content is only for those who may use the disk. @throws ValidationError */
async function refuseDisk(reached: Reached, path: string, field: string): Promise<void> {
  const refused = (what: string) => invalid(field, `is ${what}`, 'disk')
  const user = await userOf(reached, path)
  if (user) throw refused(`a disk of virtual machine '${user.vm}'${user.isBacking ? ', as its backing file' : ''}`)
  const source = { type: 'file' as const, path }
  const { pool, is_known, used_by } = await call(volumesInternal, 'locate', { node: reached.node.id, source })
  if (pool !== null)
    throw refused(
      is_known
        ? 'a disk: attach it as a volume of its storage pool'
        : `a file in storage pool '${pool}': make it a volume with POST /api/storage/pools/${pool}/volumes/scan, then attach that`,
    )
  if (used_by !== null) throw refused(`a disk: it belongs to ${used_by}`)
}

/** The real path of a file that may be given to a guest. @throws NotFoundError, ValidationError */
export async function requireFile(reached: Reached, path: string, field: string): Promise<string> {
  const { host, node } = reached
  const real = await allowedPath(host, path, node, field)
  const file = await onNamedPath(field, () => host.stat(real))
  if (file?.kind !== 'file') throw new NotFoundError(`${path} is not a file on node '${node.id}'`)
  await refuseDisk(reached, real, field)
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
