import { expect, test } from 'vitest'
import { whatIf } from '../../../services/auth/what-if/what-if.ts'
import { manyUsers } from '../../lab/people/many-users.ts'
import { accessRightsGoByTheBook, whatIfIsNotSilent } from './rights-property.ts'
import { whatIfGoesByTheBook } from './what-if-property.ts'

test('what-if gives the difference of all rights before and after', () => whatIfGoesByTheBook(100))

test('compiled rights and explain decide as the reference implementation does (a sample)', () =>
  accessRightsGoByTheBook({ numRuns: 300 }))

test('without resources, what-if covers every possible path (a sample)', () => whatIfIsNotSilent({ numRuns: 60 }))

test('10,000,000 changes of 1,000 users are counted, and the first 1,000 of them listed', () => {
  const { before, after, question } = manyUsers()
  const answer = whatIf(before, after, question)
  expect(answer).toMatchObject({ users_changed: 1000, total: 10_000_000, truncated: true })
})
