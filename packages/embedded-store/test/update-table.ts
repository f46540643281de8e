import { type Document } from 'mongodb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serverError, startTestStore, type TestStore } from './lab.ts'

type Options = { filter?: Document; arrayFilters?: Document[] }
/** A document, an update, and what becomes of it or the code of the error, which must have changed nothing. */
export type Row = [before: Document, update: Document | Document[], after: Document | number, options?: Options]

type Thing = Document & { _id: number }

/** Tests the updates of each area; numbers are compared with their types. */
export function describeUpdates(areas: Record<string, Row[]>): void {
  let lab: TestStore
  const things = () => lab.db.collection<Thing>('things')
  beforeAll(async () => {
    lab = await startTestStore()
  })
  afterAll(() => lab.stop())

  /** A document as it comes back when its numbers keep their types. */
  const stored = async (fields: Document): Promise<Document> => {
    const shown = lab.db.collection<Thing>('shown')
    await shown.deleteMany({})
    await shown.insertOne({ _id: 0, ...fields })
    const { _id, ...found } = (await shown.findOne({ _id: 0 }, { promoteValues: false })) as Thing
    return found
  }

  const outcome = async ([before, update, , { filter, arrayFilters } = {}]: Row): Promise<unknown> => {
    await things().deleteMany({})
    await things().insertOne({ _id: 1, ...before })
    const run = things().updateOne({ _id: 1, ...filter }, update, arrayFilters ? { arrayFilters } : {})
    const error = await run.then(
      () => undefined,
      () => serverError(run),
    )
    const { _id, ...after } = (await things().findOne({ _id: 1 }, { promoteValues: false })) as Thing
    if (!error) return after
    expect(after, JSON.stringify(update)).toEqual(await stored(before))
    return error.code
  }

  describe.each(Object.keys(areas))('%s', (area) => {
    test.for(areas[area] as Row[])('%j', async (row) => {
      const after = row[2]
      expect(await outcome(row)).toEqual(typeof after === 'number' ? after : await stored(after))
    })
  })
}
