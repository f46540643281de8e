import type { Image } from '#shared/contracts/container/images.ts'
import { ConflictError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { operation } from '#shared/operation/kinds.ts'
import { imagesOf, requireImage, visibleTo } from './find.ts'

type Input = Pick<Image, 'id' | 'node' | 'runtime' | 'engine_id'>

/** @throws ConflictError naming the containers that are made of the image */
export function requireUnused({ id, tags, users, used_by }: Image): void {
  if (users === 0) return
  const shown = used_by.map(({ name }) => `'${name}'`).join(', ')
  const others = users > used_by.length ? ` and ${users - used_by.length} that you may not see` : ''
  throw new ConflictError(
    `Image '${tags[0] ?? id}' is used by ${users} container(s): ${shown}${others}`.replace(':  and', ':'),
    { details: { users, containers: used_by } },
  )
}

export const remove = operation({
  accept: async ({ id }: { id: string }, accepting): Promise<Input> => {
    await accepting.hold(`/api/images/${id}`)
    const { image } = await requireImage(id, visibleTo(accepting))
    requireUnused(image)
    const { node, runtime, engine_id } = image
    return { id, node, runtime, engine_id }
  },
  run: async (op, { node, runtime, engine_id }): Promise<null> => {
    await op.commit()
    await op.step('removing image', async () => imagesOf(runtime).remove(await reach(node), engine_id))
    return null
  },
})
