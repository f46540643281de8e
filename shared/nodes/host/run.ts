import type { Writable } from 'node:stream'
import { UnavailableError } from '#shared/errors.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { CommandError } from './errors.ts'
import { forwardSocket } from './forward.ts'
import type { Forward, Host, HostCore, RunOptions, RunResult } from './host.ts'
import { drained } from './streams.ts'

const defaultTimeoutMs = 60_000
const defaultMaxOutputBytes = 16 * 2 ** 20

/** The methods that change nothing. Every other one is refused to code that is too late to act. */
const harmless: ReadonlySet<string> = new Set<keyof HostCore>([
  'describe',
  'which',
  'readFile',
  'stat',
  'list',
  'space',
  'realpath',
  // A client of what listens there has a check of its own.
  'openSocket',
  'close',
])

function guarded(host: HostCore): HostCore {
  const methods = Object.entries(host)
    .filter(([name]) => !harmless.has(name))
    .map(([name, given]) => {
      // Each method keeps its own parameters and result.
      const method = given as (...args: unknown[]) => Promise<unknown>
      const guard = async (...args: unknown[]) => {
        await requireCurrent()
        return method(...args)
      }
      return [name, guard]
    })
  return { ...host, ...Object.fromEntries(methods) }
}

/** Adds to each host: complete runs, forwarded sockets, and the check before changes. */
export function completeHost(bare: HostCore): Host {
  const core = guarded(bare)
  const forwards = new Set<Forward>()
  return {
    ...core,
    run: (program, args, options = {}) => run(core, program, args, options),
    async runChecked(program, args, options = {}) {
      const result = await run(core, program, args, options)
      if (result.code === 0) return result
      throw new CommandError(program, result.code, result.stderr, core.describe())
    },
    async forwardSocket(target) {
      const forward = await forwardSocket(core, target)
      forwards.add(forward)
      const close = () => (forwards.delete(forward) ? forward.close() : Promise.resolve())
      return { path: forward.path, close }
    },
    async close() {
      await Promise.all([core.close(), ...[...forwards].map((forward) => forward.close())])
      forwards.clear()
    },
  }
}

async function run(host: HostCore, program: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const { timeoutMs = defaultTimeoutMs, maxOutputBytes = defaultMaxOutputBytes, onStdout, secretInput } = options
  const limit = new AbortController()
  const refuse = (why: string) => limit.abort(new UnavailableError(`${program} on ${host.describe()} ${why}`))
  const signal = options.signal ? AbortSignal.any([options.signal, limit.signal]) : limit.signal
  const timer = Number.isFinite(timeoutMs)
    ? setTimeout(() => refuse(`did not finish within ${timeoutMs / 1000} s`), timeoutMs)
    : undefined
  try {
    const child = await host.spawn(program, args, { env: options.env, cwd: options.cwd, signal })
    const chunks: Buffer[] = []
    let size = 0
    child.stdout.on('data', (chunk: Buffer) => {
      if (signal.aborted) return
      if (onStdout) return onStdout(chunk)
      size += chunk.length
      if (size > maxOutputBytes) return refuse(`wrote more than ${maxOutputBytes} bytes of output`)
      chunks.push(chunk)
    })
    feed(child.stdin, secretInput ?? options.input)
    const exit = await child.exit
    if (!signal.aborted) await drained(child.stdout)
    child.stdout.destroy()
    signal.throwIfAborted()
    return result(exit.code, exit.signal, withoutSecret(exit.stderr, secretInput), Buffer.concat(chunks))
  } finally {
    clearTimeout(timer)
  }
}

function feed(stdin: Writable, input: string | Uint8Array | undefined): void {
  if (input === undefined || input.length === 0) stdin.end()
  else stdin.end(input)
}

function result(code: number, signal: string | null, stderr: string, bytes: Buffer): RunResult {
  return {
    code,
    signal,
    stderr,
    bytes,
    get stdout() {
      return bytes.toString()
    },
  }
}

function withoutSecret(text: string, secret: string | undefined): string {
  const hidden = secret?.trim()
  return hidden ? text.replaceAll(hidden, '***') : text
}
