import fc from 'fast-check'
import { Type } from 'typebox'
import { expect, test } from 'vitest'
import { flatOf } from '#shared/db/cache/flat.ts'
import { fieldsAsked, select, type Selection } from '#shared/db/cache/selection.ts'
import { byId } from '#shared/db/page.ts'
import { orderOf, searchFilter } from '#shared/db/search.ts'
import { parseFilter } from '../../../packages/embedded-store/src/query/matcher.ts'
import { parseSort, sortKeyOf } from '../../../packages/embedded-store/src/query/sort.ts'

const schema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  memory: Type.Integer(),
  balloon: Type.Union([Type.Integer(), Type.Null()]),
  node: Type.Union([Type.String(), Type.Null()]),
  template: Type.Boolean(),
  tags: Type.Array(Type.String()),
  nics: Type.Array(Type.Object({ mac: Type.String() })),
})
const text = fc.constantFrom('', 'web', 'Web-1', 'web-10', 'db', 'ä', 'Ä', '\u{1f600}', '\uffee', 'a.b*')
const record = fc.record({
  name: text,
  memory: fc.constantFrom(0, 1, 2, 1024),
  balloon: fc.constantFrom(null, 1, 512),
  node: fc.option(text, { nil: undefined }),
  template: fc.boolean(),
  tags: fc.array(text, { maxLength: 3 }),
  nics: fc.constant([{ mac: '52:54:00:00:00:01' }]),
})
const terms = [
  'web -web ä node:web -node:web node:we* tags:db,web -tags:db memory:>1 memory:<=2 balloon:>0',
  '-balloon:<600 template:true -template:true name:"a.b*" \u{1f600} or',
]
const term = fc.constantFrom(...terms.join(' ').split(' '))
const sort = fc.constantFrom(undefined, 'name', '-name', 'node,-memory', '-node', '-balloon,name', 'template,-id')

const selectionOf = (q: string, by: string | undefined): Selection => ({
  filter: searchFilter(q, schema),
  order: by === undefined ? byId : orderOf(by, schema),
})
const all = { all: true as const, item: () => true }

test('records in memory answer a query as the store does: those that fit, in its order, page by page', () => {
  const property = fc.property(
    fc.array(record, { minLength: 1, maxLength: 12 }),
    fc.array(term, { maxLength: 4 }),
    sort,
    (records, words, by) => {
      const stored = records.map(({ node, ...rest }, index) => ({
        id: `r${index}`,
        ...rest,
        ...(node !== undefined && { node }),
      }))
      const others = new Set<string>()
      const flats = stored.map((each) => flatOf(each, others))
      expect([...others]).toEqual(['nics'])
      const selection = selectionOf(words.join(' '), by)
      // The store's own matcher and sort keys decide what is right.
      const fits = parseFilter(selection.filter).test
      const keyOf = sortKeyOf(parseSort(selection.order.sort)!)
      const right = stored
        .map(({ id, ...fields }) => ({ _id: id, ...fields }))
        .filter((document) => fits(document))
        .toSorted((a, b) => Buffer.compare(keyOf(a), keyOf(b)))
        .map(({ _id }) => _id)
      const pages: string[] = []
      for (let cursor: string | null | undefined; cursor !== null;) {
        const page = select(flats, selection, { limit: 2, ...(cursor && { cursor }) }, all)
        expect(page.total).toBe(right.length)
        pages.push(...page.ids)
        cursor = page.next_cursor
      }
      expect(pages).toEqual(right)
    },
  )
  fc.assert(property, { numRuns: 1500 })
})

test('a page counts its facets over all pages, and only of what the caller may see', () => {
  const flats = ['a', 'b', 'c'].map((id, index) => ({ _id: id, node: index < 2 ? 'n1' : 'n2', tags: ['x', id] }))
  const maySee = { all: false as const, item: (id: string) => id !== 'a' }
  const found = select(flats, selectionOf('', undefined), { limit: 1, facets: 'node,tags' }, maySee)
  expect(found).toMatchObject({
    ids: ['b'],
    total: 2,
    facets: { node: { n1: 1, n2: 1 }, tags: { x: 2, b: 1, c: 1 } },
  })
})

test('names the fields that a query needs, so that others than plain ones are left to the store', () => {
  const selection = selectionOf('nics.mac:52* web memory:>1', '-node')
  expect(fieldsAsked(selection, { facets: 'tags' })).toEqual(
    expect.arrayContaining(['nics.mac', 'name', 'memory', 'node', '_id', 'tags']),
  )
})
