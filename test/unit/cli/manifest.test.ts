import { describe, expect, test } from 'vitest'
import { contracts } from '#shared/contracts/index.ts'
import { flagsOf, usageOf } from '../../../cli/arguments/action-flags.ts'
import { examplesOf, actionText } from '../../../cli/commands/help.ts'
import { ownVerbs } from '../../../cli/commands/registry.ts'
import type { Form } from '../../../cli/manifest/types.ts'
import { findAction, manifest, nounOf, nouns, positionalParams } from '../../../cli/manifest/manifest.ts'
import { readWords, withGlobals } from '../../../cli/arguments/parse.ts'
import { serverCommands } from '../../../bin/server-commands.js'
import { manifestText, storedManifest } from '../../../tools/cli-manifest.ts'

test('the stored manifest is that of the contracts: `npm run map` writes it', () => {
  expect(storedManifest() === manifestText(), 'cli/manifest/manifest.json is out of date: npm run map').toBe(true)
})

const routed = contracts.flatMap(({ name, actions }) =>
  Object.entries(actions).flatMap(([key, action]) => (action.rest ? [{ noun: name, key, rest: action.rest }] : [])),
)

test('every routed action is a command', () => {
  const commands = new Set(manifest().map(({ method, path }) => `${method} ${path}`))
  expect(routed.length).toBeGreaterThan(100)
  expect(routed.filter(({ rest }) => !commands.has(rest))).toEqual([])
})

test('every secret of a request is marked, at any depth', () => {
  const secretsIn = (fields: readonly [string, Form][], path: string): string[] =>
    fields.flatMap(([name, form]) => [
      ...(form.secret ? [`${path}${name}`] : []),
      ...secretsIn(Object.entries({ ...form.fields, ...form.items?.fields }), `${path}${name}.`),
    ])
  for (const { noun, verb, params } of manifest()) {
    const action = contracts.find(({ name }) => name === noun)!.actions[
      verb.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())
    ]!
    const listed = (action.secret ?? []).filter((path) => params.some(({ name }) => name === path.split('.')[0]))
    expect(
      secretsIn(
        params.map((param) => [param.name, param]),
        '',
      ),
      `${noun} ${verb}`,
    ).toEqual(expect.arrayContaining(listed))
  }
})

test('every command is found by its noun and verb, and no two have the same words', () => {
  const words = manifest().map(({ noun, verb }) => `${noun} ${verb}`)
  expect(words.filter((word, index) => words.indexOf(word) !== index)).toEqual([])
  for (const action of manifest()) expect(findAction(action.noun, action.verb)).toBe(action)
})

test('a noun is found in the singular too, and is no command of the server but `audit`', () => {
  for (const noun of nouns()) expect(nounOf(noun.replace(/ies$/, 'y').replace(/s$/, ''))).toBe(noun)
  expect(nouns().filter((noun) => Object.hasOwn(serverCommands, noun))).toEqual(['audit'])
})

test('every polished verb belongs to a noun', () => {
  for (const words of Object.keys(ownVerbs)) expect(nounOf(words.split(' ')[0]!)).toBe(words.split(' ')[0])
})

describe.each(manifest().map((action) => [`${action.noun} ${action.verb}`, action] as const))('%s', (_, action) => {
  test('every parameter is an argument or a flag, and the help shows it', () => {
    const { params } = flagsOf(action)
    const reached = new Set([...positionalParams(action), ...params.values()].map(({ name }) => name))
    expect(action.params.filter(({ name }) => !reached.has(name))).toEqual([])
    const text = actionText(action)
    expect(text).toContain(usageOf(action))
    for (const [flag, param] of params) {
      const isHidden = param.secret ? !/-(file|stdin)$/.test(flag) : param.type === 'array'
      if (!isHidden && !positionalParams(action).includes(param)) expect(text).toContain(`--${flag}`)
    }
  })

  test('its examples are read without a mistake', () => {
    for (const example of examplesOf(action)) {
      const words = example.replaceAll("'", '').split(' ').slice(3)
      expect(readWords(words, withGlobals(flagsOf(action).flags)).mistakes).toEqual([])
    }
  })

  test('no secret is taken as an argument', () => {
    const { flags } = flagsOf(action)
    for (const param of action.params.filter(({ secret }) => secret)) {
      const flag = param.name.replaceAll('_', '-')
      expect(readWords([`--${flag}`, 'hunter2'], withGlobals(flags)).mistakes).toEqual([
        expect.stringContaining('a secret is not taken as an argument'),
      ])
      expect(positionalParams(action)).not.toContain(param)
    }
  })
})
