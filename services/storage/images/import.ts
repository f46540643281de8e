import type { Params, Result } from '#shared/contract/contract.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { copyFull, register, takeBack } from '../volumes/clone.ts'
import { dataBytes, probe } from './qemu-img.ts'
import { finished, pathOf, placeActive } from '../volumes/volume.ts'

type Wanted = { image: string; target: Pick<Volume, 'pool' | 'name' | 'format' | 'size_bytes'>; owner: string }

/** What can be made a volume of. @throws ConflictError for what cannot */
export async function inspect({
  node,
  path,
}: Params<typeof volumesInternal, 'inspect'>): Promise<Result<typeof volumesInternal, 'inspect'>> {
  const { host } = await reach(node)
  const { format, virtualSize } = await probe(host, path)
  return { size_bytes: virtualSize, data_bytes: await dataBytes(host, path, format) }
}

/** Copies an image, then grows the copy. The image may have become another since it was asked for: it is looked at again. */
async function copyIn(op: Op, { image, target, owner }: Wanted): Promise<Volume> {
  const { pool, host, driver } = await placeActive(target.pool)
  const { format, virtualSize } = await probe(host, image)
  if (virtualSize > target.size_bytes)
    throw new ConflictError(`${image} has ${virtualSize} bytes by now, the disk ${target.size_bytes}`)
  const registered = await register(target, { owner, backing: null })
  const isMade = await copyFull(op, { path: image, format }, registered)
  if (isMade) await driver.resizeVolume(host, pool, target)
  return finished(registered.record, isMade)
}

export const importFor = operation({
  accept: async (
    { id: pool, name, format, size: size_bytes, image, owner }: Params<typeof volumesInternal, 'importFor'>,
    { hold },
  ): Promise<Wanted> => {
    await hold(pathOf(pool, name))
    const { driver } = await placeActive(pool)
    if (!driver.clone) throw new ConflictError(`Storage pool '${pool}' cannot hold copies of images`)
    return { image, owner, target: { pool, name, format, size_bytes } }
  },
  run: (op, wanted) =>
    op.step('copying', () => copyIn(op, wanted), { undo: () => takeBack(wanted.target, wanted.owner) }),
})
