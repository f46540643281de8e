import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cellText, durationText, sizeText } from '../../../cli/output/cells.ts'
import { rendered } from '../../../cli/output/print.ts'
import { progressLine } from '../../../cli/output/progress.ts'
import { fit, recordText, tableOf } from '../../../cli/output/table.ts'
import { cut, shown, widthOf } from '../../../cli/output/width.ts'
import type { Form, Unit } from '../../../cli/manifest/types.ts'

const fields: Record<string, Form> = {
  name: { type: 'string' },
  status: { type: 'string' },
  cpus: { type: 'integer' },
  memory: { type: 'integer', unit: 'MiB' },
  tags: { type: 'array' },
  id: { type: 'string' },
  disks: { type: 'array', items: { type: 'object', fields: { size_bytes: { type: 'integer', unit: 'bytes' } } } },
  progress: { type: 'object', fields: { percent: { type: 'number', unit: 'percent' } } },
}
const vms = [
  {
    name: 'web-1',
    status: 'running',
    cpus: 2,
    memory: 4096,
    tags: ['web', 'prod'],
    id: '2c4e4400-9b7c-52df-ae59-2a616d6d07db',
  },
  { name: 'データベース-primary', status: 'stopped', cpus: 16, memory: 1536, tags: [], id: 'db' },
]
const columns = ['name', 'status', 'cpus', 'memory', 'tags', 'id']
const look = { columns, fields, hasHeaders: true, stream: {} }
const at = (width: number | undefined) => tableOf(vms, { ...look, width })

describe('a table of virtual machines', () => {
  test('is whole at 200 columns, with numbers to the right', () => {
    expect(`\n${at(200)}\n`).toBe(`
NAME                  STATUS   CPUS   MEMORY  TAGS      ID
web-1                 running     2    4 GiB  web,prod  2c4e4400-9b7c-52df-ae59-2a616d6d07db
データベース-primary  stopped    16  1.5 GiB  -         db
`)
  })

  test('has its widest columns cut at 80 columns', () => {
    expect(`\n${at(80)}\n`).toBe(`
NAME                  STATUS   CPUS   MEMORY  TAGS      ID
web-1                 running     2    4 GiB  web,prod  2c4e4400-9b7c-52df-ae59…
データベース-primary  stopped    16  1.5 GiB  -         db
`)
  })

  test('leaves columns at the end out at 40 columns', () => {
    expect(`\n${at(40)}\n`).toBe(`
NAME              STATUS   CPUS   MEMORY
web-1             running     2    4 GiB
データベース-pr…  stopped    16  1.5 GiB
`)
  })

  test('no line is wider than the terminal, whatever the data is', () => {
    const record = fc.record({
      name: fc.string(),
      status: fc.constantFrom('データ', 'running', '🚀 up'),
      memory: fc.nat(),
      id: fc.uuid(),
    })
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 10, max: 200 }),
        (records, width) => {
          const text = tableOf(records, { ...look, columns: ['name', 'status', 'memory', 'id'], width })
          return text.split('\n').every((line) => widthOf(line) <= width)
        },
      ),
    )
  })
})

test('columns that cannot fit are left out from the end', () => {
  expect(fit([10, 10, 10], [8, 8, 8], 100)).toEqual([10, 10, 10])
  expect(fit([20, 6, 6], [8, 6, 6], 30)).toEqual([14, 6, 6])
  expect(fit([6, 6, 6], [6, 6, 6], 15)).toEqual([6, 6, 0])
  expect(fit([30], [8], 5)).toEqual([5])
})

test('control sequences and marks of direction in data never reach the terminal', () => {
  expect(shown('a\u001b[31mred\u0007\u202Egnp.exe')).toBe('a\uFFFD[31mred\uFFFD\uFFFDgnp.exe')
  expect(shown('two\nlines')).toBe('two lines')
  fc.assert(fc.property(fc.string({ unit: 'binary-ascii' }), (text) => !/\p{Cc}/u.test(shown(text))))
})

test('widths count columns of the terminal, not characters', () => {
  expect(widthOf('データ')).toBe(6)
  expect(widthOf('e\u0301')).toBe(1)
  expect(widthOf('🚀')).toBe(2)
  expect(cut('データベース', 5)).toBe('デー…')
})

test('sizes and times have their unit', () => {
  expect([0, 512, 1024, 1_610_612_736, 20 * 1024 ** 3].map(sizeText)).toEqual([
    '0 B',
    '512 B',
    '1 KiB',
    '1.5 GiB',
    '20 GiB',
  ])
  expect([0.7, 65, 7500, 400_000].map(durationText)).toEqual(['0.7 s', '1 min 5 s', '2 h 5 min', '4 d'])
  expect(cellText('2026-11-30T00:10:00.123Z')).toBe('2026-11-30 00:10:00')
  expect([null, undefined, '', []].map((value) => cellText(value))).toEqual(['-', '-', '-', '-'])
})

test('a record is a line for each field; fields of fields are indented', () => {
  const record = {
    name: 'web-1',
    memory: 4096,
    boot: { kernel: '/k' },
    disks: [{ id: 'vda', size_bytes: 1024 }],
    tags: [],
  }
  expect(recordText(record, fields, {})).toBe(
    [
      'name    web-1',
      'memory  4 GiB',
      'boot',
      '  kernel  /k',
      'disks',
      '  id          vda',
      '  size_bytes  1 KiB',
      'tags    -',
    ].join('\n'),
  )
})

const output = { columns: undefined, hasHeaders: true, noun: 'vms', key: 'id', own: [], fields }

test('CSV quotes as RFC 4180 says, and makes no formulas', async () => {
  const body = { data: [{ name: '=1+1', status: 'a "b", c', cpus: 2 }] }
  const text = await rendered(body, { ...output, format: 'csv', columns: ['name', 'status', 'cpus', 'memory'] })
  expect(text).toBe(`name,status,cpus,memory\r\n'=1+1,"a ""b"", c",2,\r\n`)
})

test('YAML has a document for each item, with its noun', async () => {
  expect(await rendered({ data: [{ id: 'a' }, { id: 'b' }] }, { ...output, format: 'yaml' })).toBe(
    'noun: vms\nid: a\n---\nnoun: vms\nid: b\n',
  )
})

test('names are one a line, JSON is the body of the API', async () => {
  const body = { data: [{ id: 'a' }, { id: 'b' }], next_cursor: null, total: 2 }
  expect(await rendered(body, { ...output, format: 'name' })).toBe('a\nb\n')
  expect(JSON.parse(await rendered(body, { ...output, format: 'json' }))).toEqual(body)
})

test('a column that does not exist is named with those that do', async () => {
  await expect(rendered({ data: [] }, { ...output, format: 'csv', columns: ['nmae'] })).rejects.toThrow(
    /there is no nmae; there are name, status/,
  )
})

test('progress has a bar, the step, the amount and the time left, and fits the width', () => {
  const operation = {
    id: 'x',
    kind: 'vms.clone',
    state: 'running',
    stage: 'cloning_disk vda',
    progress: { done: 6 * 1024 ** 3, total: 8 * 1024 ** 3, unit: 'bytes' as const, percent: 75 },
    eta: '2026-11-30T00:00:05Z',
    version: 3,
    error: null,
  }
  const now = Date.parse('2026-11-30T00:00:00Z')
  expect(progressLine(operation, 100, now)).toBe(
    'vms.clone  ████████████░░░░  cloning_disk vda  6 GiB of 8 GiB  5 s left',
  )
  expect(widthOf(progressLine(operation, 40, now))).toBeLessThan(40)
})

test('a column inside another field has its unit, and numbers without a value stay to the right', () => {
  const operations = [
    { id: 'a', progress: { percent: 42.04 } },
    { id: 'b', progress: { percent: null } },
  ]
  expect(tableOf(operations, { ...look, columns: ['progress.percent', 'id'], width: undefined })).toBe(
    ['PROGRESS.PERCENT  ID', '            42 %  a', '               -  b'].join('\n'),
  )
})

test('text without a value stays to the left, as its field is no number', () => {
  expect(tableOf([{ id: null, cpus: null }], { ...look, columns: ['id', 'cpus'], width: undefined })).toBe(
    ['ID  CPUS', '-      -'].join('\n'),
  )
})

test('each unit is shown in words that people use', () => {
  const shownAs = (unit: Unit, value: number) => cellText(value, { type: 'number', unit })
  expect([
    shownAs('bytes/s', 1_572_864),
    shownAs('MiB/s', 100),
    shownAs('Mbit/s', 500),
    shownAs('nanoseconds', 2_500_000),
    shownAs('milliseconds', 1500),
    shownAs('hours', 36),
    shownAs('days', 7),
    shownAs('percent', 99.96),
  ]).toEqual(['1.5 MiB/s', '100 MiB/s', '500 Mbit/s', '2.5 ms', '1.5 s', '36 h', '7 d', '100 %'])
})

test('numbers of a result without a contract have the unit of their name', () => {
  const result = { size_bytes: 2048, memory: 512, seconds: 90, cpus: 4, count: 7 }
  expect(recordText({ result }, undefined, {})).toBe(
    [
      'result',
      '  size_bytes  2 KiB',
      '  memory      512 MiB',
      '  seconds     1 min 30 s',
      '  cpus        4',
      '  count       7',
    ].join('\n'),
  )
})
