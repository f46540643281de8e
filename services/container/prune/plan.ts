import type { Params } from '#shared/contract/contract.ts'
import type { Image } from '#shared/contracts/container/images.ts'
import type { PruneItem, PrunePlan, prunes } from '#shared/contracts/container/prunes.ts'
import { AppError } from '#shared/errors.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { planned } from '#shared/service/plan.ts'
import { driverOf } from '../drivers/drivers.ts'
import { listAll } from '../images/find.ts'
import { apiPathOf, type ContainerRecord, containerRecords } from '../model.ts'

type Given = Params<typeof prunes, 'prune'>
type Wish = Omit<Given, 'plan'>
export type Sorted = Pick<PrunePlan, 'remove' | 'skipped'>

/** Time in which an image without a name may still be in the making. Milliseconds. */
const youngMs = 600_000

const fits = ({ node, runtime, only }: Wish, each: { id: string; node: string; runtime: string }) =>
  (node === undefined || node === each.node) &&
  (runtime === undefined || runtime === each.runtime) &&
  (only === undefined || only.includes(each.id))

type Right = (path: string) => boolean
/** A container, and the bytes that it has written. */
export type Sized = { container: ContainerRecord; size_bytes: number | null }

/** Sorts containers that are stopped into those that go and those that stay. */
export function sortContainers(all: Sized[], mayRemove: Right): Sorted {
  const sorted: Sorted = { remove: [], skipped: [] }
  for (const { container, size_bytes } of all) {
    const { id, name, node, runtime, managed, exit_code } = container
    const item = (reason: string): PruneItem => ({ kind: 'container', id, name, node, runtime, size_bytes, reason })
    const code = exit_code === null ? '' : `, with exit code ${exit_code}`
    if (!managed) sorted.skipped.push(item('it was discovered and is only shown: adopt it first'))
    else if (!mayRemove(apiPathOf(id))) sorted.skipped.push(item('you may not remove it'))
    else sorted.remove.push(item(`it is stopped${code}`))
  }
  return sorted
}

type Removing = { going: ReadonlySet<string>; kind: Given['images']; mayRemove: Right; now: number }

/**
 * Sorts images without containers into those that go and those that stay.
 * @param how.going ids of the containers that are removed before
 */
export function sortImages(all: Image[], { going, kind, mayRemove, now }: Removing): Sorted {
  const sorted: Sorted = { remove: [], skipped: [] }
  for (const { id, tags, node, runtime, size_bytes, users, used_by, created_at } of all) {
    const name = tags[0] ?? id
    const item = (reason: string): PruneItem => ({ kind: 'image', id, name, node, runtime, size_bytes, reason })
    const left = users - used_by.filter((user) => going.has(user.id)).length
    if (left > 0 || (kind === 'unnamed' && tags.length > 0)) continue
    const isYoung = tags.length === 0 && now - Date.parse(created_at) < youngMs
    if (isYoung) sorted.skipped.push(item('it has no name yet, and may be in the making'))
    else if (!mayRemove(`/api/images/${id}`)) sorted.skipped.push(item('you may not remove it'))
    else if (users > 0) sorted.remove.push(item('only containers of this plan are made of it'))
    else sorted.remove.push(item(tags.length === 0 ? 'it has no name and no container' : 'no container is made of it'))
  }
  return sorted
}

async function sizeOf(container: ContainerRecord): Promise<number | null> {
  try {
    return (await driverOf(container).writtenBytes?.(container)) ?? null
  } catch (error) {
    if (error instanceof AppError) return null
    throw error
  }
}

/** Everything that would go, and everything unused that would stay. */
export async function planPrune(wish: Wish, { caller, rights }: Pick<Call, 'caller' | 'rights'>): Promise<PrunePlan> {
  const may = (privilege: 'ContainerAllocate' | 'ContainerAudit') => (path: string) =>
    caller.kind === 'service' || rights.allows(privilege, path)
  const [mayRemove, maySee] = [may('ContainerAllocate'), may('ContainerAudit')]
  const stopped = wish.containers ? await containerRecords.all({ status: 'stopped' }) : []
  const wanted = stopped.filter((each) => fits(wish, each) && maySee(apiPathOf(each.id)))
  const sized = await Promise.all(wanted.map(async (container) => ({ container, size_bytes: await sizeOf(container) })))
  const ofContainers = sortContainers(sized, mayRemove)
  const going = new Set(ofContainers.remove.map(({ id }) => id))
  const found = wish.images === 'none' ? { images: [], unanswered: [] } : await listAll((id) => maySee(apiPathOf(id)))
  const seen = found.images.filter((image) => fits(wish, image) && maySee(`/api/images/${image.id}`))
  const ofImages = sortImages(seen, { going, kind: wish.images, mayRemove, now: Date.now() })
  const remove = [...ofContainers.remove, ...ofImages.remove]
  const plan = {
    remove,
    skipped: [...ofContainers.skipped, ...ofImages.skipped],
    size_bytes: remove.reduce((sum, item) => sum + (item.size_bytes ?? 0), 0),
    unanswered: found.unanswered.map(({ node, runtime, reason }) => `${runtime} on '${node}': ${reason}`),
  }
  return planned(
    plan,
    remove.map(({ kind, id }) => `${kind} ${id}`),
  )
}
