import type { Params, Result } from '#shared/contract/contract.ts'
import type { AppliancePart } from '#shared/contracts/storage/appliances.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { ForeignDisk, volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, invalid } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { openActivePool } from '../pools/open-pool.ts'
import { copiesIn, copyFull } from '../volumes/copy.ts'
import { finish, register, undoVolume } from '../volumes/make.ts'
import { apiPathOf, viewIn, type VolumeSpec } from '../volumes/records.ts'
import { fileOf, requireUpload } from '../uploads/model.ts'
import { type Part, pathOfPart } from './complete-image.ts'
import { inspectImage } from './images.ts'
import { pullIn } from './pull.ts'

type Wanted = { from: From; target: VolumeSpec; owner: string; node?: string }
/** A file on the node, or the disk in an uploaded file. */
type Near = { image: string } | { part: AppliancePart }
type From = Near | { foreign: ForeignDisk }

/** The file to read; all is on the node of the storage pool that it is copied to. */
async function fileOfImage(from: Near): Promise<{ path: string; part?: Part }> {
  if ('image' in from) return { path: from.image }
  const { pool, upload, name, offset, length } = from.part
  return { path: (await fileOf(await requireUpload(pool, upload))).path, part: { name, offset, length } }
}

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
async function copyIn(op: Op, { from, target, owner, node }: Wanted): Promise<Volume> {
  if ('foreign' in from) return pullIn(op, { ...from, target, owner, ...(node !== undefined && { node }) })
  const opened = await openActivePool(target.pool, node)
  const { config, host, volumes } = opened
  const { path, part } = await fileOfImage(from)
  const { format, size_bytes } = await inspectImage(host, path, part)
  if (size_bytes > target.size_bytes)
    throw new ConflictError(`${part?.name ?? path} has ${size_bytes} bytes by now, the disk ${target.size_bytes}`)
  const registered = await register(opened, target, { owner })
  const tool = part && { path: pathOfPart(path, part) }
  const isMade = await copyFull(op, { source: { type: 'file', path }, format, tool }, opened, registered)
  if (isMade) await volumes.resize(host, config, target)
  return viewIn(opened, await finish(opened, registered.record, isMade))
}

export const importFor = operation({
  accept: async (
    { id: pool, name, format, size: size_bytes, owner, node, ...from }: Params<typeof volumesInternal, 'importFor'>,
    { hold },
  ): Promise<Wanted> => {
    await hold(apiPathOf(pool, name))
    copiesIn(await openActivePool(pool, node))
    return {
      from: fromOf(from),
      owner,
      target: { pool, name, format, size_bytes },
      ...(node !== undefined && { node }),
    }
  },
  run: (op, wanted) =>
    op.step('copying', () => copyIn(op, wanted), { undo: () => undoVolume(wanted.target, wanted.owner) }),
})

type GivenFrom = { image?: string; part?: AppliancePart; foreign?: ForeignDisk }

function fromOf({ image, part, foreign }: GivenFrom): From {
  if (foreign) return { foreign }
  if (part) return { part }
  if (image === undefined)
    throw invalid('image', 'an image, a part of an upload or a foreign disk must be given', 'required')
  return { image }
}
