import { AppError } from '#shared/errors.ts'
import { type Named, pathOf } from '#shared/nodes/lxc/tools.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import type { Command, Ended, Output, Process } from '../process.ts'

/** Message of lxc-attach when the command could not be begun. */
const notBegun = /^lxc-attach: .*Failed to exec.*$/m

/** Runs a command in a container by lxc-attach. The environment is handed on by name, so that no argument has a value of it. */
export async function exec({ host, folder, name }: Named, what: Command): Promise<Process> {
  pathOf({ folder, name })
  await requireCurrent()
  const { command, env, user, hasInput } = what
  const words = [
    `--lxcpath=${folder}`,
    `--name=${name}`,
    '--clear-env',
    ...Object.keys(env).map((key) => `--keep-var=${key}`),
    ...(user === null ? [] : [`--uid=${user}`]),
    '--',
    ...command,
  ]
  const child = await host.spawn('lxc-attach', words, { env })
  if (!hasInput) child.stdin.end()
  return {
    output: outputOf(child),
    input: hasInput ? child.stdin : null,
    resize: async () => undefined,
    close: () => void child.kill(),
    end: () => endOf(child.exit),
  }
}

type Child = Awaited<ReturnType<Named['host']['spawn']>>

async function* outputOf({ stdout, exit }: Child): AsyncGenerator<Output> {
  for await (const bytes of stdout as AsyncIterable<Buffer>) yield { stream: 1, bytes }
  const stderr = await exit.then(
    (ended) => ended.stderr,
    () => '',
  )
  if (stderr !== '') yield { stream: 2, bytes: Buffer.from(stderr) }
}

async function endOf(exit: Child['exit']): Promise<Ended> {
  try {
    const { code, stderr } = await exit
    if (!notBegun.test(stderr)) return { code, reason: 'exited' }
    return /No such file/.test(stderr) ? { code: 127, reason: 'not_found' } : { code: 126, reason: 'not_executable' }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { code: null, reason: 'lost' }
  }
}
