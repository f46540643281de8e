import { alreadyExists, ConflictError, type Violation } from '#shared/errors.ts'
import type { DockerApi } from '#shared/nodes/docker/client.ts'
import { type DockerKind, dockerOf } from '#shared/nodes/docker/engine.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { type ContainerEngine, type Definition, idLabel, type Ref } from '../driver.ts'
import { attach } from './attach.ts'
import { dockerComposing } from './compose.ts'
import { creationOf } from './definition.ts'
import { described, listed } from './described.ts'
import { dockerCommitting, dockerCopying } from './copying.ts'
import { exec } from './exec.ts'
import { readArchive, readWhole, writeArchive } from './files.ts'
import { unlessGone } from './gone.ts'
import { dockerImages } from './images.ts'
import { limitsRequest } from './limits.ts'
import { logLines } from './logs.ts'
import { dockerRecreation } from './recreate.ts'
import { dockerRootFiles } from './root-files.ts'

/** Time beyond the grace in which the engine has stopped a container. Milliseconds. */
const stopWithinMs = 30_000

/** As {@link unlessGone}, for a change whose outcome may already be so: the engine answers 304, or 409. */
async function unlessSo(work: Promise<unknown>, so: RegExp): Promise<void> {
  try {
    await unlessGone(work)
  } catch (error) {
    if (!(error instanceof ConflictError) || !(error.details['status'] === 304 || so.test(error.message))) throw error
  }
}

/** Docker or Podman, over the API that they share. */
export function docker(kind: DockerKind): ContainerEngine {
  const engineOf = (reached: Reached) => dockerOf(reached, kind)
  const apiAt = async (node: string) => engineOf(await reach(node)).api()

  const inspect = async (api: DockerApi, id: string) =>
    unlessGone(api.ask((docker) => docker.getContainer(id).inspect()))

  /** The container of a record, by its label. */
  const findMade = async (api: DockerApi, id: string): Promise<string | null> => {
    const filters = { label: [`${idLabel}=${id}`] }
    const [found] = await api.ask((docker) => docker.listContainers({ all: true, filters }))
    return found?.Id ?? null
  }

  const stop = async ({ node, engine_id }: Pick<Ref, 'node' | 'engine_id'>, graceSeconds: number) => {
    const api = await apiAt(node)
    const there = await inspect(api, engine_id)
    // Podman refuses to stop a paused container, and Docker waits for the whole grace.
    if (there?.State.Paused)
      await unlessSo(
        api.change((docker) => docker.getContainer(engine_id).unpause()),
        /not paused/,
      )
    const stopping = api.change(
      (docker) => docker.getContainer(engine_id).stop({ t: graceSeconds }),
      graceSeconds * 1000 + stopWithinMs,
    )
    await unlessSo(stopping, /not running|already stopped/)
  }

  const images = dockerImages((reached) => engineOf(reached).api())

  return {
    engineOf,
    usersAreNumbers: false,
    lacks: { rootfs: 'this engine makes containers from images: import the archive as an image first' },
    nameRule: {
      pattern: /^[A-Za-z0-9][A-Za-z0-9_.-]+$/,
      message: 'must be 2 or more letters, digits, _ . and -, and begin with a letter or digit',
    },

    check: async (reached, { image, command }) => {
      if (image === null) return [{ field: 'image', code: 'required', message: 'is required' }]
      const api = await engineOf(reached).api()
      const found = await unlessGone(api.ask((docker) => docker.getImage(image).inspect()))
      if (!found) return [missing(`is not on the node: ${api.name} has no image '${image}'; pull or import it first`)]
      const own = [...[found.Config?.Entrypoint ?? []].flat(), ...(found.Config?.Cmd ?? [])]
      if (own.length > 0 || command.length > 0) return []
      return [{ field: 'command', code: 'required', message: `is required: the image '${image}' has none` }]
    },
    list: async (reached) =>
      (await (await engineOf(reached).api()).ask((docker) => docker.listContainers({ all: true }))).map(listed),
    look: async ({ node, engine_id }) => {
      const inspected = await inspect(await apiAt(node), engine_id)
      return inspected && described(inspected)
    },
    create: async (definition: Definition) => {
      const api = await apiAt(definition.node)
      const made = await findMade(api, definition.id)
      if (made !== null) return made
      try {
        return (await api.change((docker) => docker.createContainer(creationOf(definition)))).id
      } catch (error) {
        // Podman answers 500 where Docker answers 409.
        if (error instanceof ConflictError && /already in use/.test(error.message))
          throw alreadyExists(definition.name, { field: 'name' })
        throw error
      }
    },
    remove: async ({ node, engine_id }, { volumes }) => {
      const api = await apiAt(node)
      const removing = api.change((docker) => docker.getContainer(engine_id).remove({ force: true, v: volumes }))
      await unlessSo(removing, /removal .* already in progress/)
    },
    start: async ({ node, engine_id }) => {
      const api = await apiAt(node)
      try {
        await api.change((docker) => docker.getContainer(engine_id).start())
      } catch (error) {
        if (!(error instanceof ConflictError) || error.details['status'] !== 304) throw error
      }
    },
    stop: (ref, { graceSeconds }) => stop(ref, graceSeconds),
    pause: async ({ node, engine_id }) => {
      const api = await apiAt(node)
      await unlessSo(
        api.change((docker) => docker.getContainer(engine_id).pause()),
        /already paused|"paused" is not running|paused.*can't pause/i,
      )
    },
    resume: async ({ node, engine_id }) => {
      const api = await apiAt(node)
      await unlessSo(
        api.change((docker) => docker.getContainer(engine_id).unpause()),
        /not paused/i,
      )
    },
    images,
    logs: {
      kind: 'timed',
      lines: (ref, how) => logLines(kind, () => apiAt(ref.node), ref.engine_id, how),
    },
    limits: {
      change: async ({ node, engine_id }, wanted) => {
        const { path, body } = limitsRequest[kind](engine_id, wanted)
        await (await apiAt(node)).post(path, body)
      },
      keeps: ['memory', 'cpus'],
      areForgotten: kind === 'podman',
    },
    rename: {
      to: async ({ node, engine_id }, name) => {
        const api = await apiAt(node)
        const there = await inspect(api, engine_id)
        // An engine refuses the name that a container has already.
        if (there?.Name.replace(/^\//, '') === name) return
        await api.change((docker) => docker.getContainer(engine_id).rename({ name }))
      },
      onlyStopped: false,
    },
    writtenBytes: async ({ node, engine_id }) => {
      const api = await apiAt(node)
      const found = await unlessGone(api.send('GET', `/containers/${engine_id}/json?size=1`))
      // The engine's own field of a container with its sizes.
      return (found as { SizeRw?: number } | null)?.SizeRw ?? null
    },
    rootFiles: dockerRootFiles(apiAt, (reached) => engineOf(reached).api(), images),
    copying: dockerCopying(apiAt),
    committing: dockerCommitting(apiAt),
    composing: dockerComposing(engineOf),
    recreation: dockerRecreation(apiAt),
    exec: async ({ node, engine_id }, what) => exec(await apiAt(node), engine_id, what),
    attach: async ({ node, engine_id }, hasInput) => attach(await apiAt(node), engine_id, hasInput),
    files: {
      read: async ({ node, engine_id }, path) => readArchive(await apiAt(node), engine_id, path),
      write: async ({ node, engine_id }, path) => writeArchive(await apiAt(node), engine_id, path),
    },
    export: async ({ node, engine_id }) => readWhole(await apiAt(node), `/containers/${engine_id}/export`),
    events: (reached, listener) =>
      engineOf(reached).events((event) =>
        listener(event.kind === 'object' ? { kind: 'container', engineId: event.id, change: event.change } : event),
      ),
  }
}

const missing = (message: string): Violation => ({ field: 'image', code: 'not_found', message })
