import type { Params } from '#shared/contract/contract.ts'
import type { containers } from '#shared/contracts/container/containers.ts'
import type { Image } from '#shared/contracts/container/images.ts'
import { ConflictError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { operation } from '#shared/operation/kinds.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { driverOf } from '../drivers/drivers.ts'
import { imageAt, imagesOf } from '../images/find.ts'
import { type Before, namedNow, restoreNames } from '../images/names.ts'
import { nameKeyOf } from '../images/pull.ts'
import { apiPathOf, type ContainerRecord, containerRecords } from '../model.ts'
import { requireStatus, settledForChange } from '../state/settle.ts'

type Given = Params<typeof containers, 'commit'>
type Input = { id: string; image: string; before: Before }

/** @throws ConflictError for an engine that makes no images of containers */
function committingOf(container: ContainerRecord) {
  const { committing } = driverOf(container)
  if (committing) return committing
  throw new ConflictError(`No image can be made of container '${container.id}': its engine keeps no images`)
}

export const commit = operation({
  accept: async ({ id, image: given }: Given, accepting): Promise<Input> => {
    requireRight(accepting, 'ContainerAllocate', '/api/images')
    await accepting.hold(apiPathOf(id))
    const container = await settledForChange(id, 'make an image of')
    const { onlyStopped } = committingOf(container)
    requireStatus(container, 'make an image of', onlyStopped ? ['stopped'] : ['stopped', 'running', 'paused'])
    const { node, runtime } = container
    const driver = imagesOf(runtime)
    const image = driver.nameOf(given)
    await accepting.reserve(nameKeyOf(node, runtime, image))
    return { id, image, before: await namedNow(driver, await reach(node), [image]) }
  },
  run: async (op, { id, image, before }): Promise<Image> => {
    const container = await containerRecords.require(id)
    const { node, runtime } = container
    const [driver, committing] = [imagesOf(runtime), committingOf(container)]
    const engineId = await op.step('making image', () => committing.commit(container, op.id), {
      undo: () => committing.undo(container, op.id),
    })
    await op.step('naming image', async () => driver.tag(await reach(node), engineId, image), {
      undo: async () => restoreNames(driver, await reach(node), before),
    })
    return imageAt({ reached: await reach(node), runtime }, engineId)
  },
})
