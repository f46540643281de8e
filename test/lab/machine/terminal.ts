import { until } from '../wait.ts'
import type { Machine } from './machine.ts'

type Size = { columns?: number; rows?: number }

/** A program on a terminal of its own, made by script(1). */
export type Terminal = {
  /** Everything that the terminal has shown. */
  shown: () => string
  type: (text: string) => void
  /** Waits until the terminal shows a text after the last one that was waited for. */
  sees: (text: string) => Promise<void>
  /** Exit code. */
  ended: Promise<number>
  close: () => Promise<void>
}

/** Starts a program on a terminal of this size. */
export async function onTerminal(
  machine: Pick<Machine, 'spawn'>,
  words: readonly string[],
  env: Record<string, string> = {},
  { columns = 80, rows = 24 }: Size = {},
): Promise<Terminal> {
  // script(1) hands the line to a shell: the words travel in the environment.
  const names = words.map((_, index) => `WORD_${index}`)
  const given = Object.fromEntries(words.map((word, index) => [names[index]!, word]))
  const line = `stty cols ${columns} rows ${rows}; exec ${names.map((name) => `"$${name}"`).join(' ')}`
  const child = await machine.spawn('script', ['-qec', line, '/dev/null'], {
    TERM: 'xterm',
    SHELL: '/bin/sh',
    CI: '',
    ...env,
    ...given,
  })
  let text = ''
  let read = 0
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')))
  const ended = child.exit.then(({ code }) => code ?? 1)
  ended.catch(() => undefined)
  return {
    shown: () => text,
    type: (typed) => void child.stdin.write(typed),
    async sees(wanted) {
      const find = () => {
        const at = text.indexOf(wanted, read)
        return at < 0 ? false : at + wanted.length
      }
      read = await until(find, { what: `'${wanted}' on the terminal`, timeoutMs: 60_000 }).catch((error: Error) => {
        throw new Error(`${error.message}:\n${text}`, { cause: error })
      })
    },
    ended,
    close: () => child.kill(),
  }
}
