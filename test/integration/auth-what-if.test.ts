import { test } from 'vitest'
import { whatIfGoesByTheBook } from '../unit/access-what-if-property.ts'

test(
  'what-if tells exactly what a brute-force evaluator tells, on 10,000 policies',
  () => whatIfGoesByTheBook(10_000),
  300_000,
)
