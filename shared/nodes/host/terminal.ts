import type { Readable } from 'node:stream'
import { UnavailableError } from '#shared/errors.ts'
import type { Host, HostProcess } from './host.ts'
import { quoteCommand } from './quote.ts'

export type TerminalSize = { columns: number; rows: number }

/** A program on a terminal of the host. */
export type OnTerminal = Pick<HostProcess, 'stdin' | 'exit' | 'kill'> & {
  output: AsyncIterable<Buffer>
  resize: (size: TerminalSize) => Promise<void>
}

const maxNameBytes = 256

/**
 * Runs a program on a terminal, which script(1) of util-linux makes on the host: for tools that ask for one.
 * @param env must have no name by which programs of the host are changed
 */
export async function spawnOnTerminal(
  host: Host,
  program: string,
  words: readonly string[],
  { size, env = {} }: { size: TerminalSize; env?: Record<string, string> },
): Promise<OnTerminal> {
  const { columns, rows } = size
  // The size is there before the program looks at it; the name of the terminal is told first.
  const command = `tty && stty rows ${Math.trunc(rows)} cols ${Math.trunc(columns)} && ${quoteCommand(program, words)}`
  const options = ['--quiet', '--return', '--flush', '--command', command, '/dev/null']
  const { stdin, stdout, exit, kill } = await host.spawn('script', options, { env: { ...env, SHELL: '/bin/sh' } })
  const { name, rest } = await readName(stdout).catch(async (error: unknown) => {
    await kill()
    throw error
  })
  if (rest.length > 0) stdout.unshift(rest)
  return {
    stdin,
    exit,
    kill,
    // A pipe yields buffers unless it is given an encoding.
    output: undoubled(stdout as AsyncIterable<Buffer>, () => host.run('stty', [`--file=${name}`, '-opost'])),
    resize: async ({ columns, rows }) => {
      // Its end is no error: there is nothing left to resize.
      await host.run('stty', [`--file=${name}`, 'rows', String(rows), 'cols', String(columns)])
    },
  }
}

/**
 * The program has a terminal of its own inside, and sets this one to treat output once more: after its first output that is
 * switched off, or each line feed would also go back to the first column.
 */
async function* undoubled(output: AsyncIterable<Buffer>, leaveAsIs: () => Promise<unknown>): AsyncGenerator<Buffer> {
  let isFirst = true
  for await (const bytes of output) {
    // It may have ended by now.
    if (isFirst) await leaveAsIs().catch(() => undefined)
    isFirst = false
    yield bytes
  }
}

/** Reads the first line: the path of the terminal. */
function readName(stdout: Readable): Promise<{ name: string; rest: Buffer }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ name: string; rest: Buffer }>()
  let got = Buffer.alloc(0)
  const fail = () => {
    forget()
    reject(
      new UnavailableError(`No terminal could be made: ${got.toString('utf8').trim() || 'script(1) said nothing'}`),
    )
  }
  const look = (chunk: Buffer) => {
    got = Buffer.concat([got, chunk])
    const end = got.indexOf(0x0a)
    if (end < 0 && got.length < maxNameBytes) return
    const name = got.toString('utf8', 0, Math.max(0, end)).trim()
    if (!/^\/dev\/pts\/\d+$/.test(name)) return fail()
    forget()
    stdout.pause()
    resolve({ name, rest: got.subarray(end + 1) })
  }
  const forget = () => stdout.off('data', look).off('end', fail).off('close', fail)
  stdout.on('data', look).once('end', fail).once('close', fail)
  return promise
}
