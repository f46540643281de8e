import { describe, test } from 'vitest'
import { accessRightsGoByTheBook, whatIfIsNotSilent } from '../../unit/auth/rights-property.ts'
import { argumentsArrive, environmentArrives } from '../../unit/nodes/host-quote-property.ts'
import { amount, seedOf } from '../../lab/faults/seed.ts'

/** Runs the property tests of the unit tests with many more cases. */
const seed = Number(seedOf('properties'))

describe.each(['sh', 'bash'])('the quoting function, read by %s', (shell) => {
  test('hands over any arguments unchanged', { timeout: 600_000 }, () =>
    argumentsArrive(shell, { numRuns: amount({ sample: 300, all: 3000 }), seed }),
  )
  test('hands over any environment unchanged', { timeout: 600_000 }, () =>
    environmentArrives(shell, { numRuns: amount({ sample: 100, all: 1000 }), seed }),
  )
})

describe('rights', () => {
  test('compiled rights and explain decide as the reference implementation does', { timeout: 600_000 }, () =>
    accessRightsGoByTheBook({ numRuns: amount({ sample: 5000, all: 50000 }), seed }),
  )
  test('without resources, what-if covers every possible path', { timeout: 600_000 }, () =>
    whatIfIsNotSilent({ numRuns: amount({ sample: 1000, all: 10000 }), seed }),
  )
})
