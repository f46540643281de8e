import { afterAll, beforeAll, test } from 'vitest'
import { startTestStore, type TestStore } from '../lab.ts'
import { indexesGiveWhatScansGive } from '../planner-property.ts'

let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
})
afterAll(() => lab?.stop())

/** The unit tests try a few; TORTURE tries them by the thousand. */
const numRuns = process.env['TORTURE'] ? 2000 : 200

test('an index gives what a scan of all documents gives, for any filter, sort and index', { timeout: 600_000 }, () =>
  indexesGiveWhatScansGive(lab, { numRuns, seed: Date.now() & 0x7fffffff }),
)
