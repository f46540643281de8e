import { AppError, ConflictError } from '#shared/errors.ts'
import type { ExitStatus, HostProcess } from '#shared/nodes/host/host.ts'
import { spawnOnTerminal } from '#shared/nodes/host/terminal.ts'
import { type Named, pathOf } from '#shared/nodes/lxc/tools.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { merged, outputFrom } from '../merged.ts'
import type { Command, Ended, Output, Process, Size } from '../process.ts'
import { environmentFor } from './environment.ts'

/** Message of lxc-attach when the command could not be begun. */
const notBegun = /^lxc-attach: .*Failed to exec.*$/m
const keptChars = 8192

/** Runs a command in a container by lxc-attach. */
export async function exec({ host, folder, name }: Named, what: Command): Promise<Process> {
  pathOf({ folder, name })
  await requireCurrent()
  const { command, user, hasInput, terminal } = what
  const { words, env } = environmentFor(what.env)
  const all = [
    `--lxcpath=${folder}`,
    `--name=${name}`,
    ...words,
    ...(user === null ? [] : [`--uid=${user}`]),
    '--',
    ...command,
  ]
  let said = ''
  const listen = async function* (output: AsyncIterable<Output>): AsyncGenerator<Output> {
    for await (const piece of output) {
      if (piece.stream === 2 || terminal) said = (said + piece.bytes.toString('utf8')).slice(-keptChars)
      yield piece
    }
  }
  if (terminal) {
    const child = await spawnOnTerminal(host, 'lxc-attach', all, { size: terminal, env })
    return {
      output: listen(outputFrom(child.output, 1)),
      input: hasInput ? child.stdin : null,
      resize: child.resize,
      close: closerOf(child),
      end: () => endOf(child.exit, () => said),
    }
  }
  const child = await host.spawn('lxc-attach', all, { env, ownStderr: true })
  if (!hasInput) child.stdin.end()
  // Pipes yield buffers unless they are given an encoding.
  const [stdout, stderr] = [child.stdout as AsyncIterable<Buffer>, child.stderr as AsyncIterable<Buffer>]
  return {
    output: listen(merged([outputFrom(stdout, 1), outputFrom(stderr, 2)])),
    input: hasInput ? child.stdin : null,
    resize: async () => undefined,
    close: closerOf(child),
    end: () => endOf(child.exit, () => said),
  }
}

/**
 * Ends lxc-attach while it runs. A command shares its process group: once it has ended by itself, only those that it has put
 * into the background are left there.
 */
function closerOf({ exit, kill }: Pick<HostProcess, 'exit' | 'kill'>): () => void {
  let hasEnded = false
  const end = () => void (hasEnded = true)
  exit.then(end, end)
  return () => {
    if (!hasEnded) void kill()
  }
}

async function endOf(exit: Promise<ExitStatus>, said: () => string): Promise<Ended> {
  try {
    const { code } = await exit
    const words = said()
    if (code === 0 || !notBegun.test(words)) return { code, reason: 'exited' }
    return /No such file/.test(words) ? { code: 127, reason: 'not_found' } : { code: 126, reason: 'not_executable' }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { code: null, reason: 'lost' }
  }
}

const usualSize: Size = { columns: 80, rows: 24 }
/** Time in which lxc-console tells that it cannot attach. */
const refusedWithinMs = 400

/** Attaches to the console of a container by lxc-console, without a key that leaves it. @throws ConflictError when it is in use */
export async function attachConsole({ host, folder, name }: Named, hasInput: boolean): Promise<Process> {
  pathOf({ folder, name })
  await requireCurrent()
  const words = [`--lxcpath=${folder}`, `--name=${name}`, '--tty=0', '--escape=^@']
  const child = await spawnOnTerminal(host, 'lxc-console', words, { size: usualSize })
  const early = await Promise.race([
    child.exit.then(({ code }) => code).catch(() => 1),
    new Promise<null>((resolve) => setTimeout(resolve, refusedWithinMs, null)),
  ])
  if (early !== null && early !== 0)
    throw new ConflictError(`The console of '${name}' cannot be attached to: it is in use, or the container has none`)
  return {
    output: outputFrom(child.output, 1),
    input: hasInput ? child.stdin : null,
    resize: child.resize,
    close: () => void child.kill(),
    // lxc-console ends with the container, whose exit code nobody keeps.
    end: async () => {
      await child.exit.catch(() => undefined)
      return { code: null, reason: 'exited' }
    },
  }
}
