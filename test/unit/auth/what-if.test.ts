import { expect, test } from 'vitest'
import { whatIf } from '../../../services/auth/what-if/what-if.ts'
import { manyUsers } from '../../lab/people/many-users.ts'
import { accessRightsGoByTheBook, whatIfIsNotSilent } from './rights-property.ts'
import { whatIfGoesByTheBook } from './what-if-property.ts'

test('what-if tells exactly what asking about everything before and after tells', () => whatIfGoesByTheBook(100))

test('compiled rights and explain decide as the book does (a sample)', () => accessRightsGoByTheBook({ numRuns: 300 }))

test('without resources, what-if speaks of every path there can be (a sample)', () =>
  whatIfIsNotSilent({ numRuns: 60 }))

test('10,000,000 changes of 1,000 users are counted, and the first 1,000 of them listed', () => {
  const { before, after, question } = manyUsers()
  const answer = whatIf(before, after, question)
  expect(answer).toMatchObject({ users_changed: 1000, total: 10_000_000, truncated: true })
})
