import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { nearestWord } from '../../bin/nearest-word.ts'
import { usageError } from '../errors.ts'
import { globalFlags, secretFlags } from './globals.ts'

/** A flag of one command. */
export type Flag = {
  isBoolean?: boolean
  /** Given once for each value. */
  isMultiple?: boolean
  short?: string
  does?: string
  value?: string
  choices?: string[]
  /** Value of a secret: read from a prompt, a file or standard input. */
  isSecret?: boolean
}

export type Parsed = {
  positionals: string[]
  /** Values of each flag in their order; `true` and `false` of booleans. */
  flags: Map<string, (string | boolean)[]>
  /** Everything after `--`. */
  rest: string[]
  /** Wrong flags. */
  mistakes: string[]
}

/** The global flags that a command has not redefined. */
export function withGlobals(own: Record<string, Flag>): Record<string, Flag> {
  const globals = Object.entries(globalFlags)
    .filter(([name]) => !Object.hasOwn(own, name))
    .map(([name, { short, value, does, choices }]): [string, Flag] => [
      name,
      {
        does,
        ...(short && !Object.values(own).some((flag) => flag.short === short) && { short }),
        ...(value ? { value } : { isBoolean: true }),
        ...(choices && { choices }),
        ...(name === 'set' && { isMultiple: true }),
      },
    ])
  return { ...own, ...Object.fromEntries(globals) }
}

/**
 * Reads the words of a command. All mistakes are reported at once.
 * @throws CommandError that names each wrong flag and the nearest right one
 */
export function parse(words: string[], flags: Record<string, Flag>, place: string): Parsed {
  const parsed = readWords(words, flags)
  if (parsed.mistakes.length > 0) throw usageError(parsed.mistakes.join('\n'), `${place} --help`)
  return parsed
}

/** Reads the words of a command; wrong flags are in `mistakes`, to be reported together with wrong values. */
export function readWords(words: string[], flags: Record<string, Flag>): Parsed {
  const options: ParseArgsOptionsConfig = {}
  for (const [name, { isBoolean, short }] of Object.entries(flags))
    options[name] = { type: isBoolean ? 'boolean' : 'string', multiple: true, ...(short && { short }) }
  const { tokens } = parseArgs({ args: words, options, strict: false, allowPositionals: true, tokens: true })
  const parsed: Parsed = { positionals: [], flags: new Map(), rest: [], mistakes: [] }
  let isRest = false
  for (const token of tokens) {
    if (token.kind === 'option-terminator') isRest = true
    else if (token.kind === 'positional') (isRest ? parsed.rest : parsed.positionals).push(token.value)
    else {
      const read = readOption(token, flags)
      if ('mistake' in read) parsed.mistakes.push(read.mistake)
      else parsed.flags.set(read.name, [...(parsed.flags.get(read.name) ?? []), read.value])
    }
  }
  return parsed
}

type Option = { name: string; rawName: string; value?: string | undefined }
type Read = { name: string; value: string | boolean } | { mistake: string }

function readOption(option: Option, flags: Record<string, Flag>): Read {
  const { name: given, rawName } = option
  const own = (name: string) => (Object.hasOwn(flags, name) ? flags[name] : undefined)
  const positive = given.startsWith('no-') && !own(given) ? given.slice(3) : undefined
  const isNegated = positive !== undefined && own(positive)?.isBoolean === true
  const name = isNegated ? positive : given
  const flag = own(name)
  if (flag?.isSecret || (!flag && secretFlags.includes(name)))
    return {
      mistake: `${rawName}: a secret is not taken as an argument, where every user of the machine sees it; ${secretWays(name)}`,
    }
  if (!flag) return { mistake: unknownFlag(rawName, flags) }
  return flag.isBoolean ? readBoolean(name, option, isNegated) : readText(name, option, flag)
}

function readBoolean(name: string, { rawName, value = 'true' }: Option, isNegated: boolean): Read {
  if (value !== 'true' && value !== 'false')
    return { mistake: `${rawName} takes no value, or true or false; not '${value}'` }
  return { name, value: (value === 'true') !== isNegated }
}

function readText(name: string, { rawName, value }: Option, flag: Flag): Read {
  if (value === undefined) return { mistake: `${rawName} needs a value: ${rawName} ${flag.value ?? 'VALUE'}` }
  if (!flag.choices || flag.choices.includes(value)) return { name, value }
  const near = nearestWord(value, flag.choices)
  const hint = near ? `; did you mean '${near}'?` : ''
  return { mistake: `${rawName} must be one of ${flag.choices.join(', ')}, not '${value}'${hint}` }
}

export const secretWays = (name: string) =>
  `it is asked for on a terminal, or read by --${name}-file FILE or --${name}-stdin`

function unknownFlag(rawName: string, flags: Record<string, Flag>): string {
  const near = nearestWord(rawName.replace(/^-+/, ''), Object.keys(flags))
  return `there is no flag ${rawName}${near ? `; did you mean --${near}?` : ''}`
}

/** The last value of a flag that is given once. */
export const textOf = ({ flags }: Parsed, name: string): string | undefined => {
  const value = flags.get(name)?.at(-1)
  return typeof value === 'string' ? value : undefined
}

export const isSet = ({ flags }: Parsed, name: string): boolean => flags.get(name)?.at(-1) === true
