import fc from 'fast-check'
import { expect, test } from 'vitest'
import { units } from '#shared/contract/hints.ts'
import { setField } from '../../../cli/arguments/body.ts'
import { parse, readWords, withGlobals } from '../../../cli/arguments/parse.ts'
import { withoutSecrets } from '../../../cli/arguments/secrets.ts'
import { valueOf } from '../../../cli/arguments/values.ts'
import type { Form, Unit } from '../../../cli/manifest/types.ts'
import { measures } from '../../../cli/manifest/units.ts'

const memory: Form = { type: 'integer', unit: 'MiB' }
const size: Form = { type: 'integer', unit: 'bytes' }
const time: Form = { type: 'integer', unit: 'seconds' }
const whole = (unit: Unit): Form => ({ type: 'integer', unit })

test.each([
  ['4GiB', memory, 4096],
  ['512', memory, 512],
  ['1.5GiB', memory, 1536],
  ['4g', memory, 4096],
  ['20GiB', size, 20 * 1024 ** 3],
  ['20GB', size, 20 * 1000 ** 3],
  ['1024', size, 1024],
  ['5m', time, 300],
  ['2h', time, 7200],
  ['90', time, 90],
  ['100MiB/s', whole('bytes/s'), 100 * 1024 ** 2],
  ['1GiB/s', whole('MiB/s'), 1024],
  ['200', whole('MiB/s'), 200],
  ['2.5Gbit/s', whole('Mbit/s'), 2500],
  ['0.3s', whole('milliseconds'), 300],
  ['5s', whole('nanoseconds'), 5_000_000_000],
  ['2d', whole('hours'), 48],
  ['2w', whole('days'), 14],
  ['80%', whole('percent'), 80],
])('%s is read with its unit', (text, form, value) => {
  expect(valueOf(text, form)).toBe(value)
})

test.each([
  ['1,5GiB', memory],
  ['4 apples', memory],
  ['1.0001MiB', memory],
  ['', memory],
  ['5x', time],
  ['5m/s', time],
  ['4GiB/s', memory],
  ['90m', whole('hours')],
  ['5%', whole('MiB/s')],
])("'%s' is refused with an example, never read as another number", (text, form) => {
  expect(() => valueOf(text, form)).toThrow(/must be a (number with a unit such as|whole number)/)
})

test('a whole number of bytes is read as it is', () => {
  fc.assert(fc.property(fc.nat(), (bytes) => valueOf(String(bytes), size) === bytes))
})

const disk: Form = {
  type: 'array',
  items: { type: 'object', fields: { pool: { type: 'string' }, size, readonly: { type: 'boolean' } } },
}

test('objects are pairs of names and values, or JSON', () => {
  expect(valueOf('pool=main,size=20GiB,readonly=true', disk)).toEqual([
    { pool: 'main', size: 20 * 1024 ** 3, readonly: true },
  ])
  expect(valueOf('{"pool":"main"}', disk.items!)).toEqual({ pool: 'main' })
  expect(() => valueOf('pol=main', disk)).toThrow("has no 'pol'; there are pool, size, readonly")
  expect(() => valueOf('size=big', disk)).toThrow('size must be a number with a unit')
})

test('a secret inside an object is refused in both notations', () => {
  const user: Form = {
    type: 'object',
    fields: { name: { type: 'string' }, password: { type: 'string', secret: true } },
  }
  expect(() => valueOf('name=ann,password=x', user)).toThrow('password is a secret')
  expect(() => valueOf('{"password":"x"}', user)).toThrow('password is a secret')
})

test('null is taken where the API takes it', () => {
  expect(valueOf('null', { type: 'integer', nullable: true })).toBeNull()
})

const flags = withGlobals({
  memory: { value: 'SIZE' },
  start: { isBoolean: true },
  tags: { value: 'A,B', isMultiple: true },
  firmware: { value: 'bios|uefi', choices: ['bios', 'uefi'] },
})

test('all wrong flags are reported at once, each with the nearest right one', () => {
  const { mistakes } = readWords(['--memry', '4GiB', '--firmware', 'uefy', '--start=maybe'], flags)
  expect(mistakes).toEqual([
    'there is no flag --memry; did you mean --memory?',
    "--firmware must be one of bios, uefi, not 'uefy'; did you mean 'uefi'?",
    "--start takes no value, or true or false; not 'maybe'",
  ])
})

test('booleans have a negation, and flags that begin with no- are flags of their own', () => {
  const { flags: read } = parse(['--no-start', '--no-wait', '--no-headers'], flags, 'horcrux vms create')
  expect(Object.fromEntries(read)).toEqual({ start: [false], 'no-wait': [true], 'no-headers': [true] })
})

test('words after -- are kept for the command in the container', () => {
  const { positionals, rest } = parse(['web', '--', 'ls', '--all', '-o'], flags, 'horcrux exec')
  expect({ positionals, rest }).toEqual({ positionals: ['web'], rest: ['ls', '--all', '-o'] })
})

test.each(['password', 'token', 'api-key', 'secret'])('--%s is refused on every command, without its value', (name) => {
  expect(() => parse([`--${name}`, 'hunter2'], flags, 'horcrux vms list')).toThrow(/a secret is not taken/)
  expect(() => parse([`--${name}=hunter2`], flags, 'horcrux vms list')).toThrow(expect.not.stringContaining('hunter2'))
})

test('--set makes nested fields, and reads JSON where it is some', () => {
  const body: Record<string, unknown> = { a: { keep: 1 } }
  setField(body, 'a.b.c=true')
  setField(body, 'name=web-1')
  setField(body, 'tags=["x"]')
  expect(body).toEqual({ a: { keep: 1, b: { c: true } }, name: 'web-1', tags: ['x'] })
})

test('every unit of the contracts can be entered, and reads its own examples', () => {
  expect(Object.keys(measures).toSorted()).toEqual(units.toSorted())
  for (const [unit, { examples }] of Object.entries(measures))
    for (const example of examples)
      expect(valueOf(example, { type: 'integer', unit: unit as Unit }), `${example} as ${unit}`).toBeGreaterThan(0)
})

test('a request that is shown has no secret, at any depth', () => {
  const secret: Form = { type: 'string', secret: true }
  const config: Form = { type: 'object', fields: { password: secret, host: { type: 'string' } } }
  const forms = { token: secret, config, more: { type: 'array', items: config } } satisfies Record<string, Form>
  const given = { password: 'hunter2', host: 'smtp.example.org' }
  const hidden = { password: '***', host: 'smtp.example.org' }
  expect(withoutSecrets({ token: 'hunter2', config: given, more: [given], name: 'mail' }, forms)).toEqual({
    token: '***',
    config: hidden,
    more: [hidden],
    name: 'mail',
  })
})
