import { isSet, parse, withGlobals } from '../arguments/parse.ts'
import { exitCodes } from '../errors.ts'
import { actionOf } from '../manifest/manifest.ts'
import { rendered, write } from '../output/print.ts'
import { outputOf, targetFrom } from '../actions/options.ts'
import { itemsOf } from '../actions/send.ts'

type Guest = Record<string, unknown> & { status?: string }

const fields = {
  kind: 'string',
  name: 'string',
  status: 'string',
  memory: 'integer',
  cpus: 'number',
  node: 'string',
  id: 'string',
} as const

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
  const forms = Object.fromEntries(
    Object.entries(fields).map(([name, type]) => [name, { type, ...(name === 'memory' && { unit: 'MiB' as const }) }]),
  )
  const output = outputOf(parsed, { noun: 'guests', key: 'id', fields: forms })
  const body = wanted.map((row) => Object.fromEntries(Object.keys(fields).map((name) => [name, row[name] ?? null])))
  await write(await rendered(body, { ...output, columns: output.columns ?? Object.keys(fields) }))
  return exitCodes.done
}
