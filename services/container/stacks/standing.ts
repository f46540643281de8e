import type { Container } from '#shared/contracts/container/containers.ts'
import { invalid } from '#shared/errors.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { drivers } from '../drivers/drivers.ts'
import type { Composing, Images, Owned } from '../drivers/parts.ts'
import { projectOf, serviceOf } from '../state/observe.ts'
import type { Standing } from './plan.ts'
import { specLabel } from './project/document.ts'
import type { Project } from './project/schema.ts'

type Runtime = Container['runtime']

/** An engine of a node that Compose drives. */
export type StackPlace = { reached: Reached; runtime: Runtime; name: string }

/** @throws ValidationError for an engine that Compose does not drive */
export function composingOf(runtime: Runtime): Composing & { images: Images } {
  const { composing, images } = drivers[runtime]
  if (composing && images) return { ...composing, images }
  throw invalid('runtime', 'is not driven by Compose', 'unsupported')
}

/** The containers of a project as the engine lists them. */
export async function listedOf({ reached, runtime, name }: StackPlace) {
  return (await drivers[runtime].list(reached)).filter(({ labels }) => projectOf(labels) === name)
}

/** The containers, volumes and networks that a project has on its engine. @param project the wanted one, for its images */
export async function standingOf(
  place: StackPlace,
  project: Project | null,
): Promise<{ standing: Standing[]; owned: Owned }> {
  const { reached, runtime, name } = place
  const { images, owned } = composingOf(runtime)
  const listed = await listedOf(place)
  const all = listed.length === 0 ? [] : await images.list(reached)
  const imageOf = new Map(all.flatMap(({ engine_id, users }) => users.map((user) => [user, engine_id] as const)))
  const wanted = new Map<string, string | null>()
  for (const [service, { image }] of Object.entries(project?.services ?? {}))
    wanted.set(service, await images.find(reached, image))
  const standing = listed.map(({ engine_id, labels, status }) => {
    const service = serviceOf(labels) ?? ''
    const [has, now] = [imageOf.get(engine_id), wanted.get(service)]
    return { service, status, spec: labels[specLabel] ?? null, hasCurrentImage: now === undefined || has === now }
  })
  return { standing, owned: await owned(reached, name) }
}
