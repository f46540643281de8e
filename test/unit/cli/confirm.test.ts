import { expect, test } from 'vitest'
import { losesNothing } from '../../../cli/actions/run-action.ts'
import { actionOf } from '../../../cli/manifest/manifest.ts'

test('a plan, and a restore to something new, need no yes', () => {
  const restore = actionOf('container-backups', 'restore')
  expect(losesNothing(restore, {})).toBe(true)
  expect(losesNothing(restore, { to: 'new' })).toBe(true)
  expect(losesNothing(restore, { to: 'same' })).toBe(false)
  expect(losesNothing(restore, { to: 'same', plan: true })).toBe(true)
  expect(losesNothing(actionOf('snapshots', 'restore'), {})).toBe(false)
})
