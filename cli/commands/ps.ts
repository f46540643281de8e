import { isSet, parse, withGlobals } from '../arguments/parse.ts'
import { exitCodes } from '../errors.ts'
import { actionOf } from '../manifest/manifest.ts'
import type { Form } from '../manifest/types.ts'
import { rendered, write } from '../output/print.ts'
import { outputOf, targetFrom } from '../actions/options.ts'
import { itemsOf } from '../actions/send.ts'

type Guest = Record<string, unknown> & { status?: string }

const columns = ['kind', 'name', 'status', 'memory', 'cpus', 'node', 'id']

/** `horcrux ps`: virtual machines and containers that run; `--all` has the others too. */
export async function ps(words: string[]): Promise<number> {
  const parsed = parse(
    words,
    withGlobals({ all: { short: 'a', isBoolean: true, does: 'Also those that do not run' } }),
    'horcrux ps',
  )
  const target = targetFrom(parsed)
  const rows: Guest[] = []
  for (const [noun, kind] of [
    ['vms', 'vm'],
    ['containers', 'container'],
  ] as const)
    for await (const { items } of itemsOf(target, actionOf(noun, 'list'), {}))
      rows.push(...(items as Guest[]).map((item) => ({ ...item, kind })))
  const wanted = isSet(parsed, 'all') ? rows : rows.filter(({ status }) => status !== 'stopped')
  const forms: Record<string, Form> = { kind: { type: 'string' }, ...actionOf('vms', 'list').fields }
  const fields = Object.fromEntries(columns.map((name): [string, Form] => [name, forms[name] ?? { type: 'any' }]))
  const output = outputOf(parsed, { noun: 'guests', key: 'id', own: columns, fields })
  const body = wanted.map((row) => Object.fromEntries(columns.map((name) => [name, row[name] ?? null])))
  await write(await rendered(body, output))
  return exitCodes.done
}
