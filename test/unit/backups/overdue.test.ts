import { expect, test } from 'vitest'
import { isOverdue } from '../../../services/storage/backups/jobs/overdue.ts'

const at = (hour: number) => new Date(Date.UTC(2026, 0, 10, hour)).toISOString()
const now = Date.parse(at(50))

test('a virtual machine is overdue when its newest backup is older than its job asks', () => {
  const vm = { created_at: at(0), newest: at(20) }
  expect(isOverdue(vm, 30, at(0), now)).toBe(false)
  expect(isOverdue(vm, 29, at(0), now)).toBe(true)
})

test('without a backup it has time from its creation on, and from that of the job', () => {
  expect(isOverdue({ created_at: at(30), newest: null }, 24, at(0), now)).toBe(false)
  expect(isOverdue({ created_at: at(0), newest: null }, 24, at(30), now)).toBe(false)
  expect(isOverdue({ created_at: at(20), newest: null }, 24, at(10), now)).toBe(true)
})
