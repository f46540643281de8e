import { isServerCommand, serverCommands } from '../bin/server-commands.js'
import { nearestWord } from '../bin/nearest-word.ts'
import { globalFlags } from './arguments/globals.ts'
import { isOwnName, ownCommands, ownVerbs } from './commands/registry.ts'
import { runOwn } from './commands/run-own.ts'
import { CommandError, exitCodes, usageError } from './errors.ts'

const short: Record<string, string> = { '--help': 'help', '-h': 'help', '--version': 'version', '-v': 'version' }

/** Runs one command line. @returns the exit code */
async function run(given: string[]): Promise<number> {
  const [first = 'help', ...rest] = withLeadingFlagsLast(given)
  const name = short[first] ?? first
  if (name === '__complete') return (await import('./completion/complete.ts')).complete(rest)
  const isServer = isServerCommand([name, ...rest])
  // `start vms web-1` is meant for a noun.
  if (isServer && name === 'start' && /^[a-z]/.test(rest[0] ?? '')) throw await unknownCommand(name, rest)
  if (isServer && !(wantsHelp(rest) && name !== 'audit')) return runServer([name, ...rest])
  if (wantsHelp(rest))
    return (await import('./commands/help.ts')).help([name, ...rest.filter((word) => !word.startsWith('-'))])
  if (isOwnName(name)) return runOwn[name](rest)
  return runNoun(name, rest)
}

/** `horcrux -c prod vms list`: flags of every command may also come first. */
function withLeadingFlagsLast(words: string[]): string[] {
  const flags: string[] = []
  let index = 0
  while (words[index]?.startsWith('-') && !Object.hasOwn(short, words[index]!)) {
    const word = words[index]!
    const known = Object.entries(globalFlags).find(([name, flag]) => word === `--${name}` || word === `-${flag.short}`)
    const count = known?.[1].value === undefined ? 1 : 2
    flags.push(...words.slice(index, index + count))
    index += count
  }
  return [...words.slice(index, index + 2), ...flags, ...words.slice(index + 2)]
}

async function runNoun(name: string, rest: string[]): Promise<number> {
  const { nounOf, actionOf } = await import('./manifest/manifest.ts')
  const noun = nounOf(name)
  if (noun === undefined) throw await unknownCommand(name, rest)
  const [verb, ...others] = rest
  if (verb === undefined) return (await import('./commands/help.ts')).help([noun])
  const polished = ownVerbs[`${noun} ${verb}`]
  if (polished) return runOwn[polished](others)
  const action = actionOf(noun, verb)
  return (await import('./actions/run-action.ts')).runAction(action, others)
}

/** Suggests the other order for `start vms web-1`, else the nearest word. */
async function unknownCommand(name: string, [second, ...more]: string[]): Promise<CommandError> {
  const { nounOf, nouns, findAction } = await import('./manifest/manifest.ts')
  const noun = second === undefined ? undefined : nounOf(second)
  if (noun && findAction(noun, name))
    return usageError('the noun comes first', ['horcrux', noun, name, ...more].join(' '))
  const near = nearestWord(name, [...nouns(), ...Object.keys(ownCommands), ...Object.keys(serverCommands)])
  return usageError(`there is no command '${name}'${near ? `; did you mean '${near}'?` : ''}`, 'horcrux help')
}

/** `--help` before a `--`. */
function wantsHelp(words: string[]): boolean {
  const end = words.indexOf('--')
  return (end < 0 ? words : words.slice(0, end)).some((word) => word === '--help' || word === '-h')
}

async function runServer(words: string[]): Promise<number> {
  const { ensurePackages, goOnAs } = await import('../bin/bootstrap.js')
  ensurePackages({ development: false })
  goOnAs('horcrux.ts', words)
  // If this process was not replaced, it ends with the child.
  return new Promise(() => undefined)
}

/** A reader such as `head` that has seen enough ends the program quietly. */
function endOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(exitCodes.done)
      throw error
    })
}

async function failureCode(error: unknown, words: string[]): Promise<number> {
  if (!(error instanceof CommandError)) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return exitCodes.done
    process.stderr.write(`error: ${error instanceof Error ? error.stack : String(error)}\n`)
    return exitCodes.failed
  }
  const { tellFailure } = await import('./output/failure.ts')
  await tellFailure(error, words)
  return error.code
}

endOnClosedPipe()
const words = process.argv.slice(2)
process.exitCode = await run(words).catch((error: unknown) => failureCode(error, words))
process.exit()
