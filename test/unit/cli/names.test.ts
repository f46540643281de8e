import { expect, test } from 'vitest'
import { nameFieldOf } from '../../../cli/actions/find-by-name.ts'
import { findAction } from '../../../cli/manifest/manifest.ts'

test('a replica and a backup are named by their VM, and others by their own name', () => {
  const fieldOf = (noun: string) => nameFieldOf(findAction(noun, 'list')!)
  expect(['replicas', 'backups'].map(fieldOf)).toEqual(['vm_name', 'vm_name'])
  expect(['vms', 'replication-jobs', 'containers'].map(fieldOf)).toEqual(['name', 'name', 'name'])
  // Operations have no name.
  expect(fieldOf('operations')).toBeUndefined()
})
