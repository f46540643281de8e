import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { until } from '../wait.ts'

type Wanted = {
  name: string
  words: string[]
  env?: Record<string, string>
  /** Written to standard input, which stays open. */
  input?: string
  /** Returns true when it is ready, given the lines that it has printed since its start. */
  ready: (lines: string[]) => boolean | Promise<boolean>
}

/** A process that tests stop, kill and start again; it ends with this one, whatever way that ends. */
export type Part = {
  name: string
  /** Starts it (again); settles when it is ready. */
  start: () => Promise<void>
  signal: (name: 'SIGSTOP' | 'SIGCONT' | 'SIGTERM') => void
  /** Its number, while it runs. */
  pid: () => number
  /** Writes a line to its standard input. */
  tell: (line: string) => void
  /** SIGKILL; settles when it has gone. One that has gone is fine. */
  kill: () => Promise<void>
  /** Waits until it has ended by itself. */
  ended: () => Promise<void>
  /** The lines that it has printed since its first start, on both streams. */
  said: () => string[]
}

export function partOf({ name, words, env = {}, input, ready }: Wanted): Part {
  const said: string[] = []
  let child: ChildProcess | undefined
  const hasEnded = () => !child || child.exitCode !== null || child.signalCode !== null

  const start = async () => {
    const begin = said.length
    const program = ['--pdeathsig', 'KILL', ...words]
    const own = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/', LC_ALL: 'C.UTF-8', ...env }
    child = spawn('setpriv', program, { env: own, stdio: 'pipe' })
    for (const stream of [child.stdout!, child.stderr!])
      createInterface({ input: stream }).on('line', (line) => said.push(line))
    child.stdin!.on('error', () => undefined)
    if (input !== undefined) child.stdin!.write(input)
    const lines = () => said.slice(begin)
    const come = async () => hasEnded() || (await ready(lines()))
    await until(come, { what: `${name} to be ready`, timeoutMs: 120_000 }).catch((error: Error) => {
      throw new Error(`${error.message}; it said:\n${lines().slice(-20).join('\n')}`)
    })
    if (hasEnded()) throw new Error(`${name} ended at once: ${lines().join('\n')}`)
  }
  const ended = async () => {
    if (!hasEnded()) await once(child!, 'exit')
  }
  return {
    name,
    start,
    ended,
    said: () => said,
    signal: (signal) => void child?.kill(signal),
    // Without a child there is no number; a test that asks for it has started the process.
    pid: () => child!.pid!,
    tell: (line) => void child?.stdin?.write(`${line}\n`),
    kill: async () => {
      child?.kill('SIGKILL')
      await ended()
    },
  }
}
