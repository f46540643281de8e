import { test } from 'vitest'
import { whatIfGoesByTheBook } from '../../unit/auth/what-if-property.ts'

test(
  'what-if tells exactly what a brute-force evaluator tells, on 10,000 policies',
  () => whatIfGoesByTheBook(10_000),
  300_000,
)
