import { Binary, Decimal128, type Document, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestStore, type TestStore } from './lab.ts'

/** Expectations are the manual's: https://www.mongodb.com/docs/manual/reference/operator/query/ */
let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
})
afterAll(() => lab.stop())

type Row = [filter: Document, values: unknown[]]

/** Puts each value into a document of its own, and looks which values each filter finds. */
const check = async (name: string, values: unknown[], rows: Row[]): Promise<void> => {
  const collection = lab.db.collection<Document & { _id: number }>(name)
  await collection.insertMany(values.map((a, _id) => ({ _id, a })))
  for (const index of [undefined, 'a_1']) {
    if (index) await collection.createIndex({ a: 1 })
    for (const [filter, wanted] of rows) {
      const found = await collection
        .find(filter, { projection: { _id: 1 } })
        .sort({ _id: 1 })
        .toArray()
      const shown = found.map(({ _id }) => values[_id])
      expect(shown, `${index ?? 'no index'}: ${JSON.stringify(filter)}`).toEqual(wanted)
    }
  }
}

test('arrays are found by an element, as a whole, by size and by elements in any order', async () => {
  const values = [
    ['red', 'blank'],
    ['blank', 'red'],
    ['red', 'blank', 'plain'],
    ['blank', 'red', 'x'],
    ['blue'],
    'red',
    [],
  ]
  const [one, two, three, four, five, text, none] = values
  await check('arrays', values, [
    [{ a: ['red', 'blank'] }, [one]],
    [{ a: { $all: ['red', 'blank'] } }, [one, two, three, four]],
    [{ a: 'red' }, [one, two, three, four, text]],
    [{ a: { $size: 1 } }, [five]],
    [{ a: { $size: 0 } }, [none]],
    [{ a: [] }, [none]],
    [{ a: { $all: [] } }, []],
    [{ a: { $all: [['red', 'blank']] } }, [one]],
    [{ a: { $ne: 'red' } }, [five, none]],
    [{ a: { $nin: ['red', 'blue'] } }, [none]],
    [{ a: { $in: [['blue'], 'x'] } }, [four, five]],
    [{ 'a.0': 'red' }, [one, three]],
    [{ 'a.1': { $exists: true } }, [one, two, three, four]],
    [{ a: { $exists: true, $not: { $size: 2 } } }, [three, four, five, text, none]],
    [{ a: { $type: 'array' } }, [one, two, three, four, five, none]],
    [{ a: { $type: 'string' } }, [one, two, three, four, five, text]],
  ])
})

test('conditions on an array may be met by different elements, those of $elemMatch by one', async () => {
  const values = [[82, 85, 88], [75, 88, 89], [60, 100], [[82]], 83]
  const [one, two, three, nested, scalar] = values
  await check('elements', values, [
    [{ a: { $gte: 80, $lt: 85 } }, [one, two, three, scalar]],
    [{ a: { $elemMatch: { $gte: 80, $lt: 85 } } }, [one]],
    [{ a: { $not: { $elemMatch: { $gte: 80, $lt: 85 } } } }, [two, three, nested, scalar]],
    [{ a: { $elemMatch: { $in: [75, 100] } } }, [two, three]],
    [{ a: { $elemMatch: { $not: { $gte: 70 } } } }, [three, nested]],
    [{ a: { $elemMatch: { $size: 1 } } }, [nested]],
    [{ a: { $elemMatch: { $elemMatch: { $gt: 80 } } } }, [nested]],
    [{ a: { $elemMatch: { $type: 'array' } } }, [nested]],
  ])
})

test('elements that are objects match as wholes, by a field, or by fields of one', async () => {
  const small = [
    { item: 'abc', score: 10 },
    { item: 'xyz', score: 5 },
  ]
  const mixed = [
    { item: 'abc', score: 8 },
    { item: 'xyz', score: 7 },
  ]
  const swapped = [{ score: 10, item: 'abc' }]
  const deep = [{ list: [{ x: 1 }, { x: 5 }] }, { list: [{ x: 9 }] }]
  await check(
    'objects',
    [small, mixed, swapped, deep],
    [
      [{ a: { item: 'abc', score: 10 } }, [small]],
      [{ 'a.item': 'xyz' }, [small, mixed]],
      [{ 'a.0.item': 'xyz' }, []],
      [{ 'a.0.score': { $gte: 10 } }, [small, swapped]],
      [{ 'a.item': 'xyz', 'a.score': 8 }, [mixed]],
      [{ a: { $elemMatch: { item: 'xyz', score: { $gte: 7 } } } }, [mixed]],
      [{ a: { $all: [{ $elemMatch: { score: 10 } }, { $elemMatch: { score: 5 } }] } }, [small]],
      [{ 'a.list.x': 9 }, [deep]],
      [{ 'a.list.0.x': { $in: [1, 9] } }, [deep]],
      [{ 'a.list': { $elemMatch: { x: { $gt: 1, $lt: 6 } } } }, [deep]],
      [{ a: { $elemMatch: { $or: [{ item: 'none' }, { score: 5 }] } } }, [small]],
    ],
  )
})

test('a place in an array is taken as it is, other arrays on the way are entered once', async () => {
  const values = [[[1]], [1], [{ 0: 1 }], [[{ b: 1 }]], [5], [{ b: 2 }]]
  const [nested, plain, named, deep, five, object] = values
  await check('places', values, [
    [{ 'a.0': 1 }, [plain, named]],
    [{ 'a.0': [1] }, [nested]],
    [{ 'a.0.0': 1 }, [nested, named]],
    [{ 'a.b': 1 }, []],
    [{ 'a.0.b': 1 }, [deep]],
    [{ 'a.0.b': 2 }, [object]],
    [{ 'a.0.b': null }, [named, object]],
    [{ 'a.0': { $gt: 1 } }, [five]],
  ])
})

test('a comparison is between values of one kind; numbers of all types are one kind', async () => {
  const long = Long.fromString('9007199254740993')
  const values = [1, new Double(1), new Long(1), Decimal128.fromString('1.0'), 1.5, 2, '2', true, new Date(2), long]
  const [int, double, big, decimal, fraction, two, text, yes, date] = values
  await check('kinds', values, [
    [{ a: 1 }, [int, double, big, decimal]],
    [{ a: { $gt: 1, $lt: 3 } }, [fraction, two]],
    [{ a: { $gte: Decimal128.fromString('1.5') } }, [fraction, two, long]],
    [{ a: { $gt: Long.fromString('9007199254740992') } }, [long]],
    [{ a: { $gt: '1' } }, [text]],
    [{ a: { $lte: true } }, [yes]],
    [{ a: { $gt: new Date(1) } }, [date]],
    [{ a: { $type: 'number' } }, [int, double, big, decimal, fraction, two, long]],
    [{ a: { $type: ['int', 'bool'] } }, [int, two, yes]],
    [{ a: { $type: 1 } }, [double, fraction]],
    [{ a: { $lt: Number.NaN } }, []],
    [{ a: { $gt: new MinKey() } }, values],
    [{ a: { $lt: new MaxKey() } }, values],
    [{ a: { $gte: new MaxKey() } }, []],
    [{ b: { $gt: new MinKey() } }, values],
  ])
})

test('NaN is equal to itself and in no range', async () => {
  const values = [Number.NaN, 1, -Infinity, Infinity]
  await check('nan', values, [
    [{ a: Number.NaN }, [Number.NaN]],
    [{ a: { $gte: Number.NaN } }, [Number.NaN]],
    [{ a: { $lt: 5 } }, [1, -Infinity]],
    [{ a: { $gte: -Infinity } }, [1, -Infinity, Infinity]],
  ])
})

test('all types stand in one order', async () => {
  const ordered = [
    new MinKey(),
    null,
    Number.NaN,
    -1,
    new Double(0.5),
    new Long(7),
    'A',
    'a',
    'ab',
    {},
    { a: 1 },
    { b: 0 },
    new Binary(Buffer.from('z')),
    new Binary(Buffer.from('aa')),
    new ObjectId('000000000000000000000001'),
    false,
    true,
    new Date(-1),
    new Date(1),
    new Timestamp({ t: 1, i: 1 }),
    /a/,
    new MaxKey(),
  ]
  const collection = lab.db.collection<Document & { _id: number }>('order')
  await collection.insertMany(ordered.map((a, _id) => ({ _id, a })).toReversed())
  const places = (found: Document[]) => found.map(({ _id }) => _id as number)
  const wanted = ordered.map((_, i) => i)
  for (const isIndexed of [false, true]) {
    if (isIndexed) await collection.createIndex({ a: 1 })
    expect(places(await collection.find().sort({ a: 1 }).toArray())).toEqual(wanted)
    expect(places(await collection.find().sort({ a: -1 }).toArray())).toEqual(wanted.toReversed())
  }
})

test('an array is sorted by its least element upwards and by its greatest downwards, an empty one below null', async () => {
  const values = [[2, 9], [5], 3, [], null, [[1]]]
  const collection = lab.db.collection<Document & { _id: number }>('sorted')
  await collection.insertMany(values.map((a, _id) => ({ _id, a })))
  const sorted = async (direction: 1 | -1) =>
    (await collection.find().sort({ a: direction }).toArray()).map(({ a }) => a as unknown)
  expect(await sorted(1)).toEqual([[], null, [2, 9], 3, [5], [[1]]])
  expect(await sorted(-1)).toEqual([[[1]], [2, 9], [5], 3, null, []])
})

test('patterns are those of PCRE', async () => {
  const values = ['web-1', 'WEB-1', 'two\nlines', 'end\n', 'a.b', 'tab\tbed', 'µ', ['db-1', 'x'], 7]
  const [lower, upper, lines, end, dotted, tab, micro, list] = values
  await check('patterns', values, [
    [{ a: /^web/ }, [lower]],
    [{ a: /^web/i }, [lower, upper]],
    [{ a: { $regex: '^web', $options: 'i' } }, [lower, upper]],
    [{ a: { $regex: '(?i)^web' } }, [lower, upper]],
    [{ a: { $regex: '^lines' } }, []],
    [{ a: { $regex: '^lines$', $options: 'm' } }, [lines]],
    [{ a: { $regex: 'two.lines' } }, []],
    [{ a: { $regex: 'two.lines', $options: 's' } }, [lines]],
    [{ a: { $regex: 'end$' } }, [end]],
    [{ a: { $regex: 'end\\z' } }, []],
    [{ a: { $regex: '\\Aend\\Z' } }, [end]],
    [{ a: { $regex: ' w e b # the name\n -1 ', $options: 'x' } }, [lower]],
    [{ a: { $regex: '^[[:alpha:]]\\.[[:alpha:]]$' } }, [dotted]],
    [{ a: { $regex: '\\h' } }, [tab]],
    [{ a: { $regex: '^[^x]$' } }, [micro]],
    [{ a: { $in: [/^db/, 'µ'] } }, [micro, list]],
    [{ a: { $not: /./ } }, [7]],
    [{ a: { $not: { $regex: '^web', $options: 'i' } } }, [lines, end, dotted, tab, micro, list, 7]],
  ])
})

test('$mod cuts fractions off', async () => {
  const values = [4, 5.9, -5, new Int32(7), Long.fromString('9007199254740993'), 'x']
  const [four, five, minus, seven, big] = values
  await check('mod', values, [
    [{ a: { $mod: [4, 0] } }, [four]],
    [{ a: { $mod: [4, 1] } }, [five, big]],
    [{ a: { $mod: [4, -1] } }, [minus]],
    [{ a: { $mod: [4.9, 3.9] } }, [seven]],
  ])
})
