import type { Params, Result } from '#shared/contract/contract.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { openActivePool } from '../pools/open-pool.ts'
import { copiesIn, copyFull } from '../volumes/copy.ts'
import { finish, register, undoVolume } from '../volumes/make.ts'
import { apiPathOf, viewIn, type VolumeSpec } from '../volumes/records.ts'
import { inspectImage } from './images.ts'

type Wanted = { image: string; target: VolumeSpec; owner: string; node?: string }

/** Reads the sizes of an image. @throws ConflictError for one that cannot be copied */
export async function inspect({
  node,
  path,
}: Params<typeof volumesInternal, 'inspect'>): Promise<Result<typeof volumesInternal, 'inspect'>> {
  const { host } = await reach(node)
  const { size_bytes, data_bytes } = await inspectImage(host, path)
  return { size_bytes, data_bytes }
}

/** Copies an image, then grows the copy. The image is read again: it may have changed since the request. */
async function copyIn(op: Op, { image, target, owner, node }: Wanted): Promise<Volume> {
  const opened = await openActivePool(target.pool, node)
  const { config, host, volumes } = opened
  const { format, size_bytes } = await inspectImage(host, image)
  if (size_bytes > target.size_bytes)
    throw new ConflictError(`${image} has ${size_bytes} bytes by now, the disk ${target.size_bytes}`)
  const registered = await register(opened, target, { owner })
  const isMade = await copyFull(op, { source: { type: 'file', path: image }, format }, opened, registered)
  if (isMade) await volumes.resize(host, config, target)
  return viewIn(opened, await finish(opened, registered.record, isMade))
}

export const importFor = operation({
  accept: async (
    { id: pool, name, format, size: size_bytes, image, owner, node }: Params<typeof volumesInternal, 'importFor'>,
    { hold },
  ): Promise<Wanted> => {
    await hold(apiPathOf(pool, name))
    copiesIn(await openActivePool(pool, node))
    return { image, owner, target: { pool, name, format, size_bytes }, ...(node !== undefined && { node }) }
  },
  run: (op, wanted) =>
    op.step('copying', () => copyIn(op, wanted), { undo: () => undoVolume(wanted.target, wanted.owner) }),
})
