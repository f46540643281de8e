import { call } from '#shared/bus/call.ts'
import { diskBytes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { Violation } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { requireFile } from './paths.ts'
import { checking } from '#shared/service/violations.ts'

/** An image that a new disk gets a copy of: a file on the node of the VM. */
export type Image = { path: string; data_bytes: number }

const sector = 512

/** Checks the image of a new disk. @returns it with the size of the disk; undefined when there are violations */
export async function planImage(
  node: string,
  { image, size }: { image: string; size?: number },
  field: string,
  violations: Violation[],
): Promise<{ image: Image; size_bytes: number } | undefined> {
  const found = await checking(`${field}.image`, violations, async () => {
    const path = await requireFile(await reach(node), image, `${field}.image`)
    return { path, ...(await call(volumesInternal, 'inspect', { node, path }, { timeoutMs: 60_000 })) }
  })
  if (!found) return undefined
  const { path, data_bytes, size_bytes } = found
  const { minimum, maximum } = diskBytes
  if (size !== undefined && size < size_bytes)
    violations.push({
      field: `${field}.size`,
      code: 'too_small',
      message: `is ${size} bytes, the image has ${size_bytes}`,
    })
  if (size_bytes > maximum)
    violations.push({
      field: `${field}.image`,
      code: 'too_large',
      message: `has ${size_bytes} bytes, a disk at most ${maximum}`,
    })
  const own = Math.max(minimum, Math.ceil(size_bytes / sector) * sector)
  return { image: { path, data_bytes }, size_bytes: size ?? own }
}
