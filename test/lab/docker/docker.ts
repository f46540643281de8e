import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { IDockerComposeOptions, IDockerComposeResult } from 'docker-compose'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { until } from '../wait.ts'
import type { Machine } from '../machine/machine.ts'
import { repository } from '../repository.ts'

const script = fileURLToPath(new URL('docker.sh', import.meta.url))
const override = fileURLToPath(new URL('compose.override.yml', import.meta.url))
const host = localHost()
const longMs = 600_000

/** What this machine lacks for an engine of the test's own. */
export async function missingForDocker(): Promise<string[]> {
  return (await host.runChecked('bash', [script, 'needs'])).stdout.split('\n').filter(Boolean)
}

type Settings = Record<string, string>

export type Compose = {
  /** Options of npm's docker-compose: the checkout's docker-compose.yml on this engine, with these settings and no `.env`. */
  options: (settings: Settings, ...commandOptions: string[]) => IDockerComposeOptions
  /** Builds the image of the Dockerfile. */
  build: () => Promise<void>
  stop: () => Promise<void>
}

/** A Docker engine on the test's machine, with Compose and an image that stands for the Dockerfile's FROM. */
export async function startDocker(machine: Machine): Promise<Compose> {
  const { dir } = machine
  const socket = `unix://${join(dir, 'docker.sock')}`
  const engine = await machine.spawn('bash', [script, 'serve', dir])
  engine.stdout.resume()
  const ended = engine.exit.then(({ stderr }) => Promise.reject(new Error(`dockerd has ended: ${stderr.slice(-2000)}`)))
  ended.catch(() => {})
  const answers = async () => (await host.run('docker', ['-H', socket, 'version'])).code === 0
  const engineIsUp = until(answers, { what: 'dockerd', intervalMs: 200 })
  await Promise.race([
    ended,
    Promise.all([
      engineIsUp.then(() => host.runChecked('bash', [script, 'base', dir], { timeoutMs: longMs })),
      host.runChecked('bash', [script, 'compose', dir], { timeoutMs: longMs }),
    ]),
  ])
  const environment = { PATH: process.env['PATH'], HOME: process.env['HOME'], DOCKER_HOST: socket }
  return {
    options: (settings, ...commandOptions) => ({
      cwd: repository,
      executable: { executablePath: join(dir, 'docker-compose'), standalone: true },
      composeOptions: ['--env-file', '/dev/null', '--project-name', 'horcrux'],
      config: [join(repository, 'docker-compose.yml'), override],
      commandOptions,
      env: { ...environment, ...settings },
    }),
    async build() {
      const words = ['-H', socket, 'build', '-q', '--network', 'host', '-t', 'horcrux', repository]
      await host.runChecked('docker', words, { env: { DOCKER_BUILDKIT: '0' }, timeoutMs: longMs })
    },
    async stop() {
      await engine.kill()
      await host.runChecked('bash', [script, 'clean', dir])
    },
  }
}

/** The outcome of a command, also of one that fails, which npm's docker-compose rejects with. */
export const outcome = (command: Promise<IDockerComposeResult>): Promise<IDockerComposeResult> =>
  // A result has an exit code; an error that is none means that Compose did not start.
  command.catch((result: IDockerComposeResult) => (result.exitCode === undefined ? Promise.reject(result) : result))
