import { Type } from 'typebox'
import { expect, test } from 'vitest'
import { amountOf, parseQuery, queryPattern } from '#shared/contract/query-language.ts'
import { searchedOf } from '#shared/db/list-of.ts'
import { facetsOf, orderOf, searchFilter } from '#shared/db/search.ts'

const schema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  memory: Type.Integer({ 'x-unit': 'MiB' }),
  balloon: Type.Union([Type.Integer(), Type.Null()], { 'x-unit': 'MiB' }),
  size_bytes: Type.Integer(),
  size: Type.Integer({ description: 'bytes' }),
  node: Type.Union([Type.String(), Type.Null()]),
  template: Type.Boolean(),
  tags: Type.Array(Type.String()),
  nics: Type.Array(Type.Object({ mac: Type.String() })),
})
const fields = ['id', 'name', 'memory', 'node', 'tags', 'nics.mac']

test('a query has words, fields, lists, comparisons, quotes, negations and alternatives', () => {
  expect(parseQuery('web -"old one" status:running,paused nics.mac:52:54:00:* memory:>=4GiB or -node:hv2')).toEqual([
    [
      { field: null, comparison: 'is', values: ['web'], isNot: false },
      { field: null, comparison: 'is', values: ['old one'], isNot: true },
      { field: 'status', comparison: 'is', values: ['running', 'paused'], isNot: false },
      { field: 'nics.mac', comparison: 'is', values: ['52:54:00:*'], isNot: false },
      { field: 'memory', comparison: '>=', values: ['4GiB'], isNot: false },
    ],
    [{ field: 'node', comparison: 'is', values: ['hv2'], isNot: true }],
  ])
  expect(parseQuery('name:"a, b",c ')).toEqual([
    [{ field: 'name', comparison: 'is', values: ['a, b', 'c'], isNot: false }],
  ])
  expect(parseQuery('  ')).toEqual([])
})

test('the pattern of a query takes only its fields, and all that can be parsed', () => {
  const pattern = new RegExp(queryPattern(fields), 'u')
  const right = [
    '',
    'web',
    'web-1 -old',
    'name:web*',
    'tags:a,"b c"',
    'memory:>4GiB or id:x',
    '"a:b"',
    'nics.mac:52:54:*',
  ]
  const wrong = ['password_hash:x', 'a:b', 'name:', 'name:a,', '"open', 'name:a"', 'nicsxmac:a', 'name:a,,b']
  expect(right.filter((text) => !pattern.test(text))).toEqual([])
  expect(wrong.filter((text) => pattern.test(text))).toEqual([])
})

test('the pattern is decided in linear time', () => {
  const pattern = new RegExp(queryPattern(fields), 'u')
  for (const hostile of ['a '.repeat(500), 'name:'.repeat(200), '-'.repeat(1000), 'a,'.repeat(500), '"'.repeat(999)])
    pattern.test(`${hostile}:`)
})

test('amounts have units of bytes, and are converted for fields in MiB', () => {
  expect([amountOf('4GiB', true), amountOf('4GiB', false), amountOf('512', true), amountOf('1.5KiB', false)]).toEqual([
    4096,
    2 ** 32,
    512,
    1536,
  ])
  expect([amountOf('four', true), amountOf('4GB', true), amountOf('', true)]).toEqual([undefined, undefined, undefined])
})

test('a filter of the store has the types of the fields', () => {
  expect(searchFilter('memory:>4GiB template:true name:web*', schema)).toEqual({
    $or: [
      {
        $and: [
          { $or: [{ memory: { $gt: 4096 } }] },
          { $or: [{ template: true }] },
          { $or: [{ name: { $regex: '^\\x77eb' } }] },
        ],
      },
    ],
  })
  expect(searchFilter('balloon:>1GiB size_bytes:<=1KiB', schema)).toEqual({
    $or: [{ $and: [{ $or: [{ balloon: { $gt: 1024 } }] }, { $or: [{ size_bytes: { $lte: 1024 } }] }] }],
  })
  expect(() => searchFilter('memory:big template:yes', schema)).toThrow(
    /memory is a number.*; template is true or false/,
  )
})

test('an order goes on behind the last item, with null before all values and the id last', () => {
  const { sort, placeOf, after } = orderOf('node,-memory', schema)
  expect(sort).toEqual({ node: 1, memory: -1, _id: 1 })
  expect(placeOf({ _id: 'a', version: 1, memory: 5 })).toBe('[null,5,"a"]')
  expect(after('[null,5,"a"]')).toEqual({
    $or: [
      { $and: [{ node: { $ne: null } }] },
      { $and: [{ node: null }, { $or: [{ memory: { $lt: 5 } }, { memory: null }] }] },
      { $and: [{ node: null }, { memory: 5 }, { _id: { $gt: 'a' } }] },
    ],
  })
  for (const wrong of ['', '[]', '{"a":1}', '[{},5,"a"]']) expect(after(wrong)).toBeUndefined()
  expect(() => orderOf('tags,nics', schema)).toThrow(/tags, nics/)
})

test('facets count each value, of lists each entry', () => {
  const records = [
    { _id: 'a', version: 1, node: 'x', tags: ['p', 'q'] },
    { _id: 'b', version: 1, node: 'x', tags: [] },
    { _id: 'c', version: 1, node: null, tags: ['q'] },
  ]
  expect(facetsOf(['node', 'tags'], records)).toEqual({ node: { x: 2 }, tags: { p: 1, q: 2 } })
})

test('a list in memory is searched, sorted, counted and paged, with what the caller may see', () => {
  const item = Type.Object({
    id: Type.String(),
    name: Type.String(),
    tags: Type.Array(Type.String()),
    size: Type.Integer(),
    used_by: Type.Array(Type.Object({ id: Type.String() })),
  })
  const all = ['web:1', 'db:2', 'web:2', 'hidden:1', 'db:1'].map((name, size) => ({
    id: `i${size}`,
    name,
    tags: [name, 'all'],
    size,
    used_by: [{ id: 'web' }],
  }))
  const maySee = { all: false, item: (id: string) => id !== 'i3' }
  const ask = (query: object) => searchedOf(all, { limit: 2, ...query }, item, maySee)
  const first = ask({ sort: '-name', facets: 'tags' })
  expect(first.data.map(({ name }) => name)).toEqual(['web:2', 'web:1'])
  expect(first).toMatchObject({ total: 4, facets: { tags: { all: 4, 'db:1': 1 } } })
  expect(ask({ sort: '-name', cursor: first.next_cursor }).data.map(({ name }) => name)).toEqual(['db:2', 'db:1'])
  expect(ask({ q: 'web' }).data.map(({ id }) => id)).toEqual(['i0', 'i2'])
  expect(ask({ filter: 'name:db:*', q: 'size:>2' })).toMatchObject({
    data: [{ id: 'i4' }],
    total: 1,
    next_cursor: null,
  })
})
