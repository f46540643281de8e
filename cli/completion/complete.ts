import { serverCommands } from '../../bin/server-commands.js'
import { flagsOf } from '../arguments/action-flags.ts'
import { type Flag, withGlobals } from '../arguments/parse.ts'
import { isOwnName, type OwnName, ownCommands, ownVerbs } from '../commands/registry.ts'
import { actionsOf, findAction, nounOf, nouns, positionalParams } from '../manifest/manifest.ts'
import type { Action } from '../manifest/types.ts'
import { write } from '../output/print.ts'
import { type Candidate, namesFor } from './names.ts'

/** The shell completes file names. */
const files = ':files'

/** `horcrux __complete -- WORDS`: the words that fit the last one, a line each. Never fails, never asks, never waits long. */
export async function complete([, ...words]: string[]): Promise<number> {
  const found = await candidatesFor(words).catch((): Candidate[] => [])
  const last = words.at(-1) ?? ''
  const fitting = found.filter(({ word }) => word === files || word.startsWith(last))
  const lines = fitting.map(({ word, does }) => `${word}${does ? `\t${does.split('\n')[0]!.slice(0, 80)}` : ''}\n`)
  await write(lines.join(''))
  return 0
}

/** The candidates for the last of the words after `horcrux`. */
export async function candidatesFor(words: string[]): Promise<Candidate[]> {
  const before = words.slice(0, -1)
  const last = words.at(-1) ?? ''
  const [name, verb] = before
  if (name === undefined) return topWords()
  if (isOwnName(name)) return forOwn(name, before.slice(1), last)
  const noun = nounOf(name)
  if (noun === undefined) return []
  if (verb === undefined) return verbsOf(noun)
  const polished = ownVerbs[`${noun} ${verb}`]
  if (polished) return forOwn(polished, before.slice(2), last)
  const action = findAction(noun, verb)
  return action ? forAction(action, before.slice(2), last) : []
}

const topWords = (): Candidate[] => [
  ...Object.entries(ownCommands).map(([word, { does }]) => ({ word, does })),
  ...nouns().map((noun) => ({
    word: noun,
    does: actionsOf(noun)
      .map(({ verb }) => verb)
      .join(', '),
  })),
  ...Object.entries(serverCommands)
    .filter(([word]) => word !== 'audit')
    .map(([word, does]) => ({ word, does })),
]

const verbsOf = (noun: string): Candidate[] => [
  ...actionsOf(noun).map(({ verb, does }) => ({ word: verb, does })),
  ...Object.entries(ownVerbs)
    .filter(([words]) => words.startsWith(`${noun} `) && !findAction(noun, words.split(' ')[1]!))
    .map(([words, own]) => ({ word: words.split(' ')[1]!, does: ownCommands[own].does })),
]

async function forAction(action: Action, before: string[], last: string): Promise<Candidate[]> {
  const { flags, params } = flagsOf(action)
  const all = withGlobals(flags)
  const pending = flagThatWaits(before.at(-1), all)
  if (pending) {
    const param = params.get(pending.name)
    if (pending.flag.choices) return pending.flag.choices.map((word) => ({ word }))
    if (isFileFlag(pending.name)) return [{ word: files }]
    if (pending.name === 'columns') return Object.keys(action.fields ?? {}).map((word) => ({ word }))
    if (param?.enum) return param.enum.map((word) => ({ word }))
    return namesFor(pending.name, last)
  }
  if (last.startsWith('-')) return flagWords(all)
  const positional = positionalsIn(before, all)
  const param = positionalParams(action)[positional.length]
  if (!param?.path) return flagWords(all)
  if (param.enum) return param.enum.map((word) => ({ word }))
  const values = Object.fromEntries(positionalParams(action).map(({ name }, index) => [name, positional[index]]))
  return namesFor(param.name, last, { action, values })
}

async function forOwn(name: OwnName, before: string[], last: string): Promise<Candidate[]> {
  const all = withGlobals({})
  const pending = flagThatWaits(before.at(-1), all)
  if (pending?.flag.choices) return wordsOf(pending.flag.choices)
  if (pending && isFileFlag(pending.name)) return [{ word: files }]
  if (last.startsWith('-')) return flagWords(all)
  const given = positionalsIn(before, all)
  return ownArguments[name]?.[Math.min(given.length, 1)]?.(last, given[0] ?? '') ?? []
}

const wordsOf = (words: string[]): Candidate[] => words.map((word) => ({ word }))

/** @param last the word that is completed @param first the first argument */
type Words = (last: string, first: string) => Candidate[] | Promise<Candidate[]>

/** The words for the first and the second argument of commands without a noun. */
const ownArguments: Partial<Record<OwnName, Words[]>> = {
  apply: [() => [{ word: '-f' }]],
  diff: [() => [{ word: '-f' }]],
  console: [(last) => namesFor('vm', last)],
  exec: [(last) => namesFor('container', last)],
  attach: [(last) => namesFor('container', last)],
  logs: [(last) => namesFor('container', last)],
  edit: [() => wordsOf(nouns()), (last, noun) => namesFor(nounOf(noun) ?? '', last)],
  open: [() => [{ word: 'vms' }], (last) => namesFor('vm', last)],
  wait: [(last) => namesFor('operation', last)],
  help: [() => [...topWords(), { word: 'exit-codes' }], (_, noun) => verbsOf(nounOf(noun) ?? '')],
  completion: [() => wordsOf(['bash', 'zsh', 'fish'])],
  context: [() => wordsOf(['list', 'use', 'remove', 'show']), (last) => namesFor('context', last)],
  import: [(last) => namesFor('pool', last), () => [{ word: files }]],
  cp: [
    () => [{ word: files }],
    async (last) => (await namesFor('pool', last)).map(({ word, does }) => ({ word: `${word}:`, does })),
  ],
}

const flagWords = (all: Record<string, Flag>): Candidate[] =>
  Object.entries(all)
    .filter(([, { isSecret }]) => !isSecret)
    .map(([name, { does }]) => ({ word: `--${name}`, does }))

const isFileFlag = (name: string) => name === 'file' || name.endsWith('-file')

/** The flag before the cursor that still needs its value. */
function flagThatWaits(word: string | undefined, all: Record<string, Flag>): { name: string; flag: Flag } | undefined {
  if (word === undefined || !word.startsWith('-') || word.includes('=')) return undefined
  const entry = Object.entries(all).find(([name, { short }]) => word === `--${name}` || (short && word === `-${short}`))
  return entry && !entry[1].isBoolean ? { name: entry[0], flag: entry[1] } : undefined
}

/** The words that are no flags and no values of flags. */
const positionalsIn = (words: string[], all: Record<string, Flag>) =>
  words.filter((word, index) => !word.startsWith('-') && !flagThatWaits(words[index - 1], all))
