import { usageError } from '../errors.ts'

/** Questions go to standard error and are answered on standard input: both must be a terminal. */
export const canAsk = () => process.stdin.isTTY === true && process.stderr.isTTY === true

type Question = {
  /** Nothing of the answer is shown. */
  isSecret?: boolean
  /** Advice without a terminal. */
  instead: string
}

const ctrlC = '\u0003'
const ctrlD = '\u0004'

/** Asks one question on the terminal. @throws CommandError without a terminal */
export async function prompt(question: string, { isSecret = false, instead }: Question): Promise<string> {
  if (!canAsk())
    throw usageError(`${question.replace(/[?:]? *$/, '')} is needed, and there is no terminal to ask on; ${instead}`)
  return isSecret ? hiddenLine(question) : shownLine(question)
}

async function shownLine(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: true })
  lines.on('SIGINT', () => {
    process.stderr.write('\n')
    process.exit(130)
  })
  try {
    return (await lines.question(question)).trim()
  } finally {
    lines.close()
  }
}

/** Reads a line in raw mode, in which the terminal echoes nothing. */
async function hiddenLine(question: string): Promise<string> {
  const { stdin, stderr } = process
  const { promise, resolve } = Promise.withResolvers<string>()
  let line = ''
  const read = (chunk: string) => {
    for (const letter of chunk) {
      if (letter === ctrlC) {
        stdin.setRawMode(false)
        stderr.write('\n')
        process.exit(130)
      }
      if (letter === '\r' || letter === '\n' || letter === ctrlD) return resolve(line)
      if (letter === '\u007f' || letter === '\b') line = [...line].slice(0, -1).join('')
      else if (letter >= ' ') line += letter
    }
  }
  // Before the question is shown, so that an answer that comes at once is not echoed.
  stdin.setRawMode(true)
  stderr.write(question)
  stdin.setEncoding('utf8')
  stdin.on('data', read)
  stdin.resume()
  try {
    return await promise
  } finally {
    stdin.off('data', read)
    stdin.setRawMode(false)
    stdin.pause()
    stderr.write('\n')
  }
}

/** Asks for a yes. @throws CommandError without a terminal: an answer is never read from a pipe */
export async function confirm(question: string, command: string): Promise<boolean> {
  if (!canAsk())
    throw usageError(
      `${question.replace(/\?$/, '')}: this needs a yes, and there is no terminal to ask on`,
      `${command} --yes`,
    )
  const answer = await prompt(`${question} [y/N] `, { instead: 'give --yes' })
  return /^y(es)?$/i.test(answer)
}
