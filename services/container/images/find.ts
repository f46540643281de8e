import type { Container } from '#shared/contracts/container/containers.ts'
import type { Image } from '#shared/contracts/container/images.ts'
import { invalid, notFound, UnavailableError } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import { type Reached, reachAll } from '#shared/nodes/nodes.ts'
import { drivers, runtimes } from '../drivers/drivers.ts'
import type { Images, ListedImage } from '../drivers/parts.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { apiPathOf, containerRecords } from '../model.ts'

type Runtime = Container['runtime']
/** One engine of one node. */
export type Place = { reached: Reached; runtime: Runtime }
export type Unanswered = { node: string; runtime: Runtime; reason: string }

/** Time that an engine has for its list. */
const listWithinMs = 8000

/** @throws ValidationError for an engine that keeps no images */
export function imagesOf(runtime: Runtime): Images {
  const { images } = drivers[runtime]
  if (images) return images
  throw invalid('runtime', 'keeps no images: its containers are made of archives of a root file system', 'unsupported')
}

export const imageIdOf = (node: string, runtime: Runtime, engineId: string) =>
  idFrom(`image ${node}/${runtime}/${engineId}`)

/** As in the engines' own tools. */
const nameOf = ({ tags, engine_id }: ListedImage) => tags[0] ?? engine_id.replace(/^sha256:/, '').slice(0, 12)

/** True for a container that a caller may see. */
type Visible = (containerId: string) => boolean

export const visibleTo =
  ({ caller, rights }: Pick<Call, 'caller' | 'rights'>): Visible =>
  (container) =>
    caller.kind === 'service' || rights.allows('ContainerAudit', apiPathOf(container))

/** The images of one engine, as callers see them. */
async function listAt({ reached, runtime }: Place, isVisible: Visible): Promise<Image[]> {
  const node = reached.node.id
  const listed = await imagesOf(runtime).list(reached)
  const records = await containerRecords.all({ node, runtime })
  const named = new Map(records.map(({ id, name, engine_id }) => [engine_id, { id, name }]))
  const viewOf = ({ users, ...image }: ListedImage): Image => ({
    id: imageIdOf(node, runtime, image.engine_id),
    name: nameOf({ users, ...image }),
    runtime,
    node,
    ...image,
    used_by: users.flatMap((engineId) => {
      const user = named.get(engineId)
      return user && isVisible(user.id) ? [user] : []
    }),
    users: users.length,
  })
  return listed.map(viewOf)
}

/** All engines with images of all nodes. */
async function places(): Promise<Place[]> {
  const nodes = await reachAll()
  return nodes.flatMap((reached) =>
    runtimes.filter((runtime) => drivers[runtime].images).map((runtime) => ({ reached, runtime })),
  )
}

/** The images of all engines. An engine that is absent is left out; one that does not answer is named. */
export async function listAll(isVisible: Visible): Promise<{ images: Image[]; unanswered: Unanswered[] }> {
  const unanswered: Unanswered[] = []
  const ask = async (place: Place): Promise<Image[]> => {
    try {
      return await inTime(listAt(place, isVisible))
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error
      const { reached, runtime } = place
      const { status } = await drivers[runtime].engineOf(reached).health()
      if (status !== 'absent') unanswered.push({ node: reached.node.id, runtime, reason: error.message })
      return []
    }
  }
  const images = (await Promise.all((await places()).map(ask))).flat()
  return { images, unanswered }
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new UnavailableError('The engine has not answered in time')), listWithinMs)
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/** An image with the engine that has it. @throws NotFoundError */
export async function requireImage(id: string, isVisible: Visible): Promise<{ image: Image; place: Place }> {
  const { images, unanswered } = await listAll(isVisible)
  const image = images.find((one) => one.id === id)
  const place =
    image && (await places()).find((one) => one.reached.node.id === image.node && one.runtime === image.runtime)
  if (image && place) return { image, place }
  const [first] = unanswered
  if (first) throw new UnavailableError(`Image '${id}' is not found, and not all engines answer: ${first.reason}`)
  throw notFound('Image', id)
}

/** An image that was just made. */
export async function imageAt(place: Place, engineId: string): Promise<Image> {
  const id = imageIdOf(place.reached.node.id, place.runtime, engineId)
  const found = (await listAt(place, () => true)).find((image) => image.id === id)
  if (!found) throw notFound('Image', id)
  return found
}
