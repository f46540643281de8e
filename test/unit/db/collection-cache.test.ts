import fc from 'fast-check'
import mongoose from 'mongoose'
import { Type } from 'typebox'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collection } from '#shared/db/collection.ts'
import { createKept, type Kept, usualBounds } from '#shared/db/cache/collection-cache.ts'
import type { MaySee } from '#shared/access/access.ts'
import { startTestStore, type TestStore } from '@horcrux/embedded-store/test-store'

const Record = Type.Object({ id: Type.String(), name: Type.String(), version: Type.Integer() })
const records = collection('kept-records', Record, { kind: 'Record' })
type Stored = Awaited<ReturnType<typeof records.require>>

let lab: TestStore
/** How often the store was read. */
let reads = 0
/** Called while a reading is under way, when the store has answered and nothing is put away yet. */
let meanwhile: () => Promise<void> = async () => undefined

const view = ({ id, name, version }: Stored) => ({ id, name, version })
const keep = (bounds: Partial<typeof usualBounds> = {}) => {
  const read = async (found: Promise<Stored[]>) => {
    reads++
    const views = (await found).map((record) => ({ id: record.id, json: JSON.stringify(view(record)) }))
    await meanwhile()
    return views
  }
  return createKept(
    { all: (limit) => read(records.all({}, limit)), some: (ids) => read(records.all({ _id: { $in: ids } })) },
    { ...usualBounds, ...bounds },
  )
}

/** A write as the collection's owner does it: told before and after. */
async function told(kept: Kept, id: string | null, write: () => Promise<unknown>): Promise<void> {
  const change = { token: `${id}-${Math.random()}`, id }
  kept.changing(change)
  await write()
  kept.changed(change)
}

const insert = (id: string, name: string) => records.insert({ id, name })
const remove = async (id: string) => records.remove(await records.require(id))
const rename = (id: string, name: string) => records.updateWhere({ _id: id }, { set: { name } })
const everything: MaySee = { all: true, item: () => true }

beforeAll(async () => {
  lab = await startTestStore()
  await mongoose.connect(lab.url('test'))
})
afterAll(async () => {
  await mongoose.disconnect()
  await lab.stop()
})

const bytesOf = async (kept: Kept, query = { limit: 1000 }) =>
  (await kept.fresh())!.page(query, everything).bytes.toString('utf8')
const names = async (kept: Kept) =>
  (JSON.parse(await bytesOf(kept)) as { data: Stored[] }).data.map(({ name }) => name).toSorted()

const ids = ['a', 'A', 'b', 'b-1', 'b1', 'ä', 'z9', '\u{ff5e}', '\u{1f600}']
const changes = fc.record({
  what: fc.constantFrom('put', 'put', 'remove', 'removeAll', 'forget'),
  id: fc.constantFrom(...ids),
  name: fc.string({ unit: 'grapheme', maxLength: 20 }),
})
const questions = fc.record({
  limit: fc.integer({ min: 1, max: 6 }),
  offset: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
  after: fc.option(fc.constantFrom(...ids), { nil: undefined }),
  seen: fc.option(fc.subarray(ids), { nil: undefined }),
})

describe('the cache of a collection', () => {
  test('answers every page byte for byte as the store does, after every change', async () => {
    const rounds = fc.array(fc.record({ change: changes, question: questions }), { minLength: 5, maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(rounds, async (steps) => {
        await records.removeWhere({})
        const kept = keep({ some: 2 })
        for (const { change, question } of steps) {
          await apply(kept, change)
          const { limit, offset, after, seen } = question
          const query = {
            limit,
            ...(offset !== undefined && { offset }),
            ...(after !== undefined && { cursor: Buffer.from(after).toString('base64url') }),
          }
          const maySee = seen ? { all: false, item: (id: string) => seen.includes(id) } : everything
          const page = await records.list(query, maySee)
          const found = (await kept.fresh())!.page(query, maySee)
          expect(found.bytes.toString('utf8')).toBe(JSON.stringify({ ...page, data: page.data.map(view) }))
          expect(found).toMatchObject({ next_cursor: page.next_cursor, total: page.total })
        }
      }),
      { numRuns: 12 },
    )
  })

  async function apply(kept: Kept, { what, id, name }: { what: string; id: string; name: string }): Promise<void> {
    if (what === 'forget') return kept.forget()
    if (what === 'removeAll') return told(kept, null, () => records.removeWhere({}))
    const there = await records.get(id)
    if (what === 'remove') return there ? told(kept, id, () => remove(id)) : undefined
    return told(kept, id, () => (there ? rename(id, name) : insert(id, name)))
  }

  test('is read once, and of a change only the record', async () => {
    await records.removeWhere({})
    await insert('one', 'first')
    const kept = keep()
    await bytesOf(kept)
    const before = reads
    await Promise.all([bytesOf(kept), bytesOf(kept)])
    expect(reads).toBe(before)
    await told(kept, 'one', () => rename('one', 'second'))
    const pages = await Promise.all([names(kept), names(kept), names(kept)])
    expect(pages).toEqual([['second'], ['second'], ['second']])
    expect(reads).toBe(before + 1)
  })

  test('shows a change that was told of while it was being read', async () => {
    await records.removeWhere({})
    await insert('one', 'first')
    const kept = keep()
    meanwhile = async () => {
      meanwhile = async () => undefined
      await told(kept, 'one', () => rename('one', 'second'))
    }
    await kept.fresh()
    expect(await names(kept)).toEqual(['second'])
  })

  test('an entry invalidated while it is read is not cached', async () => {
    await records.removeWhere({})
    await insert('one', 'first')
    const kept = keep()
    meanwhile = async () => {
      meanwhile = async () => undefined
      kept.forget()
      await rename('one', 'second')
    }
    expect(await kept.fresh()).toBeNull()
    expect(await names(kept)).toEqual(['second'])
  })

  test('a writer that died before it told the end is read after by every question, until its time is over', async () => {
    await records.removeWhere({})
    await insert('one', 'first')
    const kept = keep({ openMs: 300 })
    await bytesOf(kept)
    kept.changing({ token: 'dead', id: 'one' })
    expect(await names(kept)).toEqual(['first'])
    await rename('one', 'second')
    expect(await names(kept)).toEqual(['second'])
    const isReadAgain = async () => {
      const before = reads
      await names(kept)
      return reads > before
    }
    expect(await isReadAgain()).toBe(true)
    await expect.poll(isReadAgain, { timeout: 60_000 }).toBe(false)
  })

  test('is read again when it is old, also without an announced change', async () => {
    await records.removeWhere({})
    await insert('one', 'first')
    const kept = keep({ ageMs: 100 })
    await bytesOf(kept)
    await rename('one', 'unheard')
    await expect.poll(() => names(kept), { timeout: 60_000 }).toEqual(['unheard'])
  })

  test.each([{ records: 2 }, { bytes: 100 }])('is nothing when it is more than %o', async (bounds) => {
    await records.removeWhere({})
    const kept = keep({ ...bounds, ageMs: 200 })
    for (const id of ['one', 'two']) await told(kept, id, () => insert(id, 'x'))
    expect((await kept.fresh())?.size().records).toBe(2)
    await told(kept, 'three', () => insert('three', 'x'))
    expect(await kept.fresh()).toBeNull()
    const before = reads
    expect(await kept.fresh()).toBeNull()
    expect(reads).toBe(before)
    await told(kept, 'three', () => remove('three'))
    await expect.poll(async () => (await kept.fresh())?.size().records, { timeout: 60_000 }).toBe(2)
  })

  test('a store that does not answer fails the call, and leaves nothing in the cache', async () => {
    await records.removeWhere({})
    await insert('one', 'first')
    const kept = keep()
    meanwhile = async () => {
      meanwhile = async () => undefined
      throw new Error('away')
    }
    await expect(kept.fresh()).rejects.toThrow('away')
    expect(await names(kept)).toEqual(['first'])
  })
})
