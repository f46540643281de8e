import { serverCommands } from '../../bin/server-commands.js'
import { nearestWord } from '../../bin/nearest-word.ts'
import { argumentWord, flagsOf, usageOf } from '../arguments/action-flags.ts'
import { globalFlags } from '../arguments/globals.ts'
import type { Flag } from '../arguments/parse.ts'
import { exitCodes, exitCodeTexts, usageError } from '../errors.ts'
import { actionOf, actionsOf, findAction, nounOf, nouns, nameParam, positionalParams } from '../manifest/manifest.ts'
import type { Action, Param } from '../manifest/types.ts'
import { exampleOf, resourceInExamples } from '../manifest/examples.ts'
import { measures } from '../manifest/units.ts'
import { write } from '../output/print.ts'
import { pad } from '../output/width.ts'
import { loginFlags, setupFlags } from './login.ts'
import { aboutOwn, isOwnName, type OwnName, ownCommands, ownVerbs } from './registry.ts'

/** `horcrux help`, `horcrux NOUN --help` and `horcrux NOUN VERB --help`. */
export async function help([name, verb]: string[]): Promise<number> {
  await write(`${textFor(name, verb)}\n`)
  return exitCodes.done
}

function textFor(name: string | undefined, verb: string | undefined): string {
  if (name === undefined || name === 'help') return overview()
  if (name === 'exit-codes') return exitCodesText()
  const noun = nounOf(name)
  const isVerb = noun !== undefined && verb !== undefined && (`${noun} ${verb}` in ownVerbs || findAction(noun, verb))
  // Further words are arguments: `horcrux console web-1 --help`.
  if (isOwnName(name) && !isVerb) return ownText(name)
  if (Object.hasOwn(serverCommands, name) && name !== 'audit')
    return `horcrux ${name}: ${serverCommands[name as keyof typeof serverCommands]}`
  if (noun === undefined) {
    const near = nearestWord(name, [...nouns(), ...Object.keys(ownCommands)])
    throw usageError(`there is no command '${name}'${near ? `; did you mean '${near}'?` : ''}`, 'horcrux help')
  }
  if (verb === undefined) return nounText(noun)
  const own = ownVerbs[`${noun} ${verb}`]
  return own ? ownText(own) : actionText(actionOf(noun, verb))
}

const columns = (rows: [string, string][]) => {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, does]) => `  ${pad(name, width)}  ${does}`.trimEnd()).join('\n')
}

function overview(): string {
  const own = Object.entries(ownCommands).map(([name, { does }]): [string, string] => [name, does])
  return [
    'Usage: horcrux NOUN VERB [ARGUMENT…] [FLAG…]     such as: horcrux vms start web-1',
    `Everyday commands\n${columns(own)}`,
    `Nouns, each with verbs: horcrux NOUN --help\n${columns(nouns().map((noun) => [noun, wordsOf(noun)]))}`,
    `On the machine of the server\n${columns(Object.entries(serverCommands))}`,
    'Flags of every command: horcrux vms list --help.   Exit codes: horcrux help exit-codes.',
  ].join('\n\n')
}

/** The verbs of a noun, as many as fit on a line. */
function wordsOf(noun: string): string {
  const verbs = actionsOf(noun).map(({ verb }) => verb)
  return verbs.length > 8 ? `${verbs.slice(0, 8).join(' ')} …` : verbs.join(' ')
}

const nounText = (noun: string) =>
  [
    `Usage: horcrux ${noun} VERB`,
    columns([
      ...actionsOf(noun).map((action): [string, string] => [withoutNoun(usageOf(action)), action.does]),
      ...Object.entries(ownVerbs)
        .filter(([words, own]) => words.startsWith(`${noun} `) && !actionsOf(noun).some(({ verb }) => verb === own))
        .map(([, own]): [string, string] => [ownCommands[own].usage, ownCommands[own].does]),
    ]),
    `Flags and examples of a verb: horcrux ${noun} VERB --help`,
  ].join('\n\n')

const withoutNoun = (usage: string) => usage.slice(usage.indexOf(' ') + 1)

function flagLine(name: string, { short, value, isBoolean, does = '', isMultiple, choices }: Flag): [string, string] {
  const word = isBoolean ? '' : ` ${value ?? 'VALUE'}`
  const allowed =
    choices && !does.includes(choices[0]!) && !value?.includes(choices[0]!)
      ? `${does ? '; ' : ''}one of ${choices.join(', ')}`
      : ''
  return [
    `${short ? `-${short}, ` : '    '}--${name}${word}`,
    `${does}${allowed}${isMultiple ? `${does || allowed ? '; ' : ''}repeatable` : ''}`,
  ]
}

/** Help for an action of the API. */
export function actionText(action: Action): string {
  const { flags, params } = flagsOf(action)
  const own = Object.entries(flags).filter(([name, flag]) => !flag.isSecret && !isSingular(name, params))
  const required = own.filter(([name]) => params.get(name)?.required && !isPositional(action, params.get(name)!))
  const optional = own.filter(([name]) => !params.get(name)?.required && !isPositional(action, params.get(name)!))
  const lines = (some: [string, Flag][]) =>
    columns(some.map(([name, flag]) => flagLine(name, withDefault(flag, params.get(name)))))
  const examples = examplesOf(action)
  return [
    `${action.does}.`,
    `Usage: horcrux ${usageOf(action)}${nameParam(action)?.required === undefined && nameParam(action) ? ' (optional)' : ''} [FLAG…]`,
    ...(required.length > 0 ? [`Required\n${lines(required)}`] : []),
    ...(optional.length > 0 ? [`Flags\n${lines(optional)}`] : []),
    `Flags of every command\n${columns(globalLines(flags))}`,
    `Examples\n${examples.map((example) => `  ${example}`).join('\n')}`,
    `API: ${action.method} /api${action.path}`,
  ].join('\n\n')
}

const globalLines = (own: Record<string, Flag>) =>
  Object.entries(globalFlags)
    .filter(([name]) => !Object.hasOwn(own, name))
    .map(([name, { short, value, does }]) =>
      flagLine(name, { does, ...(short && { short }), ...(value ? { value } : { isBoolean: true }) }),
    )

/** `--disk` is the same as `--disks`: only the plural is listed. */
const isSingular = (name: string, params: Map<string, Param>) =>
  params.get(name)?.type === 'array' && params.get(name)!.name.replaceAll('_', '-') !== name

const isPositional = (action: Action, param: Param) => positionalParams(action).includes(param)

function withDefault(flag: Flag, param: Param | undefined): Flag {
  const value = param?.default
  if (value === undefined || value === '' || value === false || (Array.isArray(value) && value.length === 0))
    return flag
  return {
    ...flag,
    does: `${flag.does ? `${flag.does}; ` : ''}default ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`,
  }
}

const byHand: Record<string, string[]> = {
  'vms create': [
    'horcrux vms create web-1 --cpus 2 --memory 4GiB --disk pool=main,size=20GiB --nic network=default --start',
    'horcrux vms create web-1 -f web-1.yaml --set tags=["test"]',
  ],
  'vms list': [
    'horcrux vms list --filter status:running,tags:test',
    'horcrux vms list -o csv --columns name,memory,node',
    'horcrux vms list --watch',
  ],
  'vms update': ['horcrux vms update web-1 --memory 8GiB --tags web,prod'],
  'vms stop': ['horcrux vms stop web-1 web-2', 'horcrux vms stop web-1 --timeout 2m'],
  'devices attach-disk': ['horcrux vms attach-disk web-1 --pool main --size 20GiB'],
  'containers create': [
    'horcrux containers create cache --runtime docker --image debian:13 --command sleep,infinity --start',
  ],
  'snapshots create': ['horcrux snapshots create web-1 before-upgrade --include-memory'],
  'volumes create': ['horcrux volumes create main data --size 20GiB'],
  'permissions create': ['horcrux permissions create --subject user=ann --role VmUser --path /api/vms/web-1'],
}

/** Examples by hand, else one made from the required arguments and flags. */
export function examplesOf(action: Action): string[] {
  const own = byHand[`${action.noun} ${action.verb}`]
  if (own) return own
  const names = positionalParams(action)
    .filter((param) => param.path || param.required)
    .map((param) => exampleWord(action, param))
  const required = action.params.filter(
    (param) => param.required && !param.secret && !positionalParams(action).includes(param),
  )
  const flags = required.map((param) => `--${param.name.replaceAll('_', '-')} ${exampleValue(param)}`)
  return [['horcrux', action.noun, action.verb, ...names, ...flags].join(' ')]
}

const exampleWord = (action: Action, param: Param) => {
  if (param.enum) return param.enum[0]!
  const word = argumentWord(action, param).toLowerCase()
  return resourceInExamples(word) ?? `${word}-1`
}

function exampleValue(param: Param): string {
  if (param.enum) return param.enum[0]!
  if (param.unit) return measures[param.unit].examples[0]
  if (param.type === 'integer' || param.type === 'number') return '1'
  if (param.type === 'object' || (param.type === 'array' && param.items?.type === 'object')) return "'{…}'"
  const example = exampleOf(param)
  if (example !== undefined) return /^[\w.,:/@+-]+$/.test(example) ? example : `'${example}'`
  return param.name.toUpperCase().replaceAll('_', '-')
}

function ownText(name: OwnName): string {
  const { does, usage, examples = [] } = aboutOwn(name)
  const flags = { login: loginFlags, setup: setupFlags }[name as string]
  return [
    `${does}.`,
    `Usage: horcrux ${usage}`,
    ...(flags
      ? [
          `Flags\n${columns(
            Object.entries(flags)
              .filter(([, flag]) => !flag.isSecret)
              .map(([flag, about]) => flagLine(flag, about)),
          )}`,
        ]
      : []),
    ...(examples.length > 0 ? [`Examples\n${examples.map((example) => `  ${example}`).join('\n')}`] : []),
  ].join('\n\n')
}

const exitCodesText = () =>
  columns(
    Object.entries(exitCodes).map(([name, code]) => [String(code), exitCodeTexts[name as keyof typeof exitCodes]]),
  )
