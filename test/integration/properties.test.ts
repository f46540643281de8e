import { afterAll, beforeAll, describe, test } from 'vitest'
import { accessRightsGoByTheBook, whatIfIsNotSilent } from '../unit/access-rights-property.ts'
import { startTestStore, type TestStore } from '../unit/embedded-lab.ts'
import { indexesGiveWhatScansGive } from '../unit/embedded-planner-property.ts'
import { argumentsArrive, environmentArrives } from '../unit/host-quote-property.ts'
import { amount, seedOf } from '../lab/seed.ts'

/** What the unit tests try a few times, many times. */
const seed = Number(seedOf('properties'))

describe('the embedded store', () => {
  let lab: TestStore
  beforeAll(async () => {
    lab = await startTestStore()
  })
  afterAll(() => lab?.stop())

  test('an index gives what a scan of all documents gives, for any filter, sort and index', { timeout: 600_000 }, () =>
    indexesGiveWhatScansGive(lab, { numRuns: amount({ sample: 200, all: 2000 }), seed }),
  )
})

describe.each(['sh', 'bash'])('the quoting function, read by %s', (shell) => {
  test('hands over any arguments unchanged', { timeout: 600_000 }, () =>
    argumentsArrive(shell, { numRuns: amount({ sample: 300, all: 3000 }), seed }),
  )
  test('hands over any environment unchanged', { timeout: 600_000 }, () =>
    environmentArrives(shell, { numRuns: amount({ sample: 100, all: 1000 }), seed }),
  )
})

describe('rights', () => {
  test('compiled rights and explain decide as the book does', { timeout: 600_000 }, () =>
    accessRightsGoByTheBook({ numRuns: amount({ sample: 5000, all: 50000 }), seed }),
  )
  test('without resources, what-if speaks of every path there can be', { timeout: 600_000 }, () =>
    whatIfIsNotSilent({ numRuns: amount({ sample: 1000, all: 10000 }), seed }),
  )
})
