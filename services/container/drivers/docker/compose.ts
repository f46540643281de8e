import { ConflictError, UnavailableError } from '#shared/errors.ts'
import type { DockerEngine } from '#shared/nodes/docker/engine.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { Composed, Composing } from '../parts.ts'
import { unlessGone } from './gone.ts'

/** Compose as a plug-in of Docker's command line, which is asked for it, and as a program of its own. */
const plugin = ['docker', 'compose'] as const
const program = ['docker-compose'] as const
type Program = typeof plugin | typeof program

const projectLabel = 'com.docker.compose.project'
/** Time for all containers of a project, beside their grace. Milliseconds. */
const workWithinMs = 600_000
/** Lines of Compose that an error tells. */
const toldLines = 10
const removalWithinMs = 60_000

async function programOn(host: Host): Promise<Program | null> {
  const [docker, ...words] = plugin
  const hasDocker = (await host.which(docker)) !== null
  if (hasDocker && (await host.run(docker, [...words, 'version'])).code === 0) return plugin
  // The old one is a Python program, which takes a second to tell its version.
  return (await host.which(program[0])) === null ? null : program
}

// ESC is the beginning of each sequence for terminals (ECMA-48).
const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, 'g')
/** Progress of Compose, such as `Container web-1  Started` and `Creating web_1 ... done`. */
const progress =
  /^\s*(Container|Network|Volume|Creating|Starting|Stopping|Removing|Recreating)\s.*(ing|ed|\.\.\.|done)\s*$/

/** The words of Compose about a failure: the last lines that are not progress. */
export function reasonIn(stderr: string): string {
  const lines = stderr
    .replaceAll(escapes, '')
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !progress.test(line))
  return [...new Set(lines)].slice(-toldLines).join('; ').slice(0, 2000)
}

/** @param engineOf the engine of a node: Compose speaks to Podman by the same API */
export function dockerComposing(engineOf: (reached: Reached) => DockerEngine): Composing {
  const run = async (
    reached: Reached,
    { project, document, folder }: Composed,
    words: string[],
    how: { graceSeconds: number; signal?: AbortSignal },
  ) => {
    const { host, node } = reached
    const found = await programOn(host)
    if (!found) throw new UnavailableError(`Node '${node.id}' has no Compose`)
    // The project's folder is empty: an .env beside a file would be read.
    await host.mkdir(folder, { mode: 0o700 })
    const all = [...found, '--project-name', project, '--file', '-', ...words]
    const timeoutMs = workWithinMs + how.graceSeconds * 1000
    const lock = ['--wait', String(Math.round(workWithinMs / 1000)), `${folder}/${project}.lock`]
    const { code, stderr } = await host.run('flock', [...lock, ...all], {
      secretInput: document,
      cwd: folder,
      env: { DOCKER_HOST: `unix://${await engineOf(reached).socket()}`, COMPOSE_HTTP_TIMEOUT: '120' },
      signal: how.signal,
      timeoutMs,
    })
    if (code !== 0) throw new ConflictError(`Compose on node '${node.id}': ${reasonIn(stderr) || `exit code ${code}`}`)
  }
  return {
    isThere: async ({ host }) => (await programOn(host)) !== null,
    up: (reached, composed, how) =>
      run(
        reached,
        composed,
        ['up', '--detach', '--no-build', '--remove-orphans', '--timeout', String(how.graceSeconds)],
        how,
      ),
    down: (reached, composed, how) => {
      const words = ['down', '--remove-orphans', '--timeout', String(how.graceSeconds)]
      return run(reached, composed, how.volumes ? [...words, '--volumes'] : words, how)
    },
    owned: async (reached, project) => {
      const api = await engineOf(reached).api()
      const filters = { label: [`${projectLabel}=${project}`] }
      const { Volumes } = await api.ask((docker) => docker.listVolumes({ filters }))
      const networks = await api.ask((docker) => docker.listNetworks({ filters }))
      return {
        // An engine without volumes answers null.
        volumes: (Volumes ?? []).map(({ Name }) => Name).toSorted(),
        networks: networks.map(({ Name }) => Name).toSorted(),
      }
    },
    removeVolumes: async (reached, names) => {
      const api = await engineOf(reached).api()
      for (const name of names)
        await unlessGone(api.change((docker) => docker.getVolume(name).remove(), removalWithinMs))
    },
  }
}
