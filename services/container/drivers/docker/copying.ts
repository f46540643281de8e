import { alreadyExists, ConflictError, NotFoundError } from '#shared/errors.ts'
import type { DockerApi } from '#shared/nodes/docker/client.ts'
import { idLabel, type Ref } from '../driver.ts'
import type { Committing, Copying } from '../parts.ts'
import { unlessGone } from './gone.ts'
import { copyRequest } from './recreate.ts'

type ApiAt = (node: string) => Promise<DockerApi>

/** The label of an image with the operation that has made it. */
const markLabel = 'horcrux.commit'
/** Time in which an engine has written a layer. Milliseconds. */
const commitWithinMs = 600_000

const marked = async (api: DockerApi, mark: string): Promise<string | undefined> => {
  const filters = { label: [`${markLabel}=${mark}`] }
  return (await api.ask((docker) => docker.listImages({ filters })))[0]?.Id
}

async function commit(api: DockerApi, { engine_id }: Pick<Ref, 'engine_id'>, mark: string): Promise<string> {
  const there = await marked(api, mark)
  if (there !== undefined) return there
  // Containers that others make of the image are not the one of the record.
  const changes = [`LABEL ${markLabel}=${mark}`, `LABEL ${idLabel}=`].join('\n')
  // Its processes are frozen for the moment of it.
  await api.change((docker) => docker.getContainer(engine_id).commit({ changes, pause: true }), commitWithinMs)
  const made = await marked(api, mark)
  if (made === undefined) throw new NotFoundError(`${api.name} does not have the image that it has made`)
  return made
}

async function removeMarked(api: DockerApi, mark: string): Promise<void> {
  const made = await marked(api, mark)
  if (made !== undefined) await unlessGone(api.change((docker) => docker.getImage(made).remove()))
}

export const dockerCommitting = (apiAt: ApiAt): Committing => ({
  onlyStopped: false,
  commit: async (ref, mark) => commit(await apiAt(ref.node), ref, mark),
  undo: async ({ node }, mark) => removeMarked(await apiAt(node), mark),
})

/** The mark of the image that a copy is made of. */
const markOf = (id: string) => `copy-${id}`

/** A copy is a container of an image of the first one, with its settings and named volumes. */
export const dockerCopying = (apiAt: ApiAt): Copying => ({
  onlyStopped: false,
  create: async (ref, { id, name }) => {
    const api = await apiAt(ref.node)
    const filters = { label: [`${idLabel}=${id}`] }
    const [made] = await api.ask((docker) => docker.listContainers({ all: true, filters }))
    if (made) return made.Id
    const source = await unlessGone(api.ask((docker) => docker.getContainer(ref.engine_id).inspect()))
    if (!source) throw new NotFoundError(`${api.name} does not have the container '${ref.engine_id}' any more`)
    const image = await commit(api, ref, markOf(id))
    try {
      return (await api.change((docker) => docker.createContainer(copyRequest(source, { id, name, image })))).id
    } catch (error) {
      if (error instanceof ConflictError && /already in use/.test(error.message))
        throw alreadyExists(name, { field: 'target_name' })
      throw error
    }
  },
  tidy: async ({ node }, { id }) => removeMarked(await apiAt(node), markOf(id)),
})
