import type { ImageSettings } from '#shared/contracts/container/saved-container.ts'
import type { DockerApi } from '#shared/nodes/docker/client.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { Ref } from '../driver.ts'
import type { Images, RootFiles } from '../parts.ts'
import { readWhole } from './files.ts'
import { splitOnce } from './described.ts'
import { unlessGone } from './gone.ts'
import { loadRootfs } from './images.ts'
import { variablesOfEngine } from './recreate.ts'

/** Settings of an image and of a container (Docker API, ContainerConfig). */
type Config = {
  Entrypoint?: string | string[] | null
  Cmd?: string | string[] | null
  Env?: string[] | null
  WorkingDir?: string | null
  User?: string | null
  StopSignal?: string | null
}

/** The variable that Docker and Podman give to a container which has none of this name. */
const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const words = (value: string | string[] | null | undefined): string[] => (value ? [value].flat() : [])

/** The line of a Dockerfile for a setting: words as a list in JSON, which no shell reads. */
function changesOf({ entrypoint, command, env, working_dir, user, stop_signal }: ImageSettings): string[] {
  return [
    ...(entrypoint.length > 0 ? [`ENTRYPOINT ${JSON.stringify(entrypoint)}`] : []),
    ...(command.length > 0 ? [`CMD ${JSON.stringify(command)}`] : []),
    // A dollar would be a variable, and a line break a new line.
    ...Object.entries(env).flatMap(([key, value]) =>
      /[\n\r]/.test(value) ? [] : [`ENV ${key}="${value.replaceAll(/["\\$]/g, '\\$&')}"`],
    ),
    ...(working_dir ? [`WORKDIR ${working_dir}`] : []),
    ...(user ? [`USER ${user}`] : []),
    ...(stop_signal ? [`STOPSIGNAL ${stop_signal}`] : []),
  ]
}

/** Processes are those of the container, which may have others than its image; variables are those of the image. */
async function settingsOf(api: DockerApi, engineId: string): ReturnType<RootFiles['settings']> {
  const container = await api.ask((docker) => docker.getContainer(engineId).inspect())
  const image = await unlessGone(api.ask((docker) => docker.getImage(container.Image).inspect()))
  const own = container.Config as Config
  const lines = (image?.Config as Config | undefined)?.Env ?? []
  const others = [...lines, defaultPath, ...variablesOfEngine(container)]
  const settings = {
    entrypoint: words(own.Entrypoint),
    command: words(own.Cmd),
    env: Object.fromEntries(lines.map(splitOnce)),
    working_dir: own.WorkingDir || null,
    user: own.User || null,
    stop_signal: own.StopSignal || null,
  }
  return { settings, env: Object.fromEntries((own.Env ?? []).filter((line) => !others.includes(line)).map(splitOnce)) }
}

export const dockerRootFiles = (
  apiAt: (node: string) => Promise<DockerApi>,
  apiOf: (reached: Reached) => Promise<DockerApi>,
  images: Images,
): RootFiles => ({
  read: async ({ node, engine_id }: Ref) => readWhole(await apiAt(node), `/containers/${engine_id}/export`),
  settings: async ({ node, engine_id }) => settingsOf(await apiAt(node), engine_id),
  hasVolumes: true,
  base: {
    kind: 'image',
    load: async (reached, archive, name, settings, how) =>
      loadRootfs(await apiOf(reached), archive, name, settings ? changesOf(settings) : [], how),
    tidy: (reached, name) => images.untag(reached, name),
  },
})
