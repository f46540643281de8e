import { expect, test } from 'vitest'
import { compileRights } from '#shared/access/access.ts'
import { isChange } from '#shared/contract/contract.ts'
import { obstacleText, obstacleTo } from '#shared/contract/possible.ts'
import { contracts } from '#shared/contracts/index.ts'
import { propertiesOf } from '#shared/contract/branches.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { itemVerbsOf, verbsFor } from '#shared/service/item-verbs.ts'

const verbs = itemVerbsOf(vms, vms.actions.list)
const may = (...privileges: ('VmPowerMgmt' | 'VmAllocate')[]) => compileRights([{ path: '/api/vms/a', privileges }])
const vm = { id: 'a', status: 'running', template: false, protected: false }

test('the verbs of an item are the changes of its own contract; those that need a right elsewhere are none', () => {
  const names = ['update', 'delete', 'start', 'shutdown', 'stop', 'restart', 'reset', 'pause', 'resume']
  expect(verbs.map(({ verb }) => verb).toSorted()).toEqual(names.toSorted())
})

test('an item tells what the caller may do in its state, and why not the rest', () => {
  const { can, cannot } = verbsFor(verbs, vm, {}, may('VmPowerMgmt'))
  expect(can).toEqual(['shutdown', 'stop', 'restart', 'reset', 'pause'])
  expect(cannot['start']).toEqual({ error: 'CONFLICT', message: 'status is running, and must be stopped' })
  expect(cannot['delete']).toEqual({ error: 'FORBIDDEN', message: 'takes VmAllocate on /api/vms/a' })
  expect(verbsFor(verbs, { ...vm, id: 'b' }, {}, may('VmPowerMgmt')).can).toEqual([])
})

test('every condition must hold', () => {
  const off = { ...vm, status: 'stopped' }
  expect(verbsFor(verbs, off, {}, may('VmAllocate', 'VmPowerMgmt')).can).toEqual(['delete', 'start'])
  expect(verbsFor(verbs, { ...off, protected: true }, {}, may('VmAllocate')).can).toEqual([])
  expect(obstacleText(obstacleTo({ status: ['stopped', 'paused'] }, vm)!)).toBe(
    'status is running, and must be stopped or paused',
  )
})

test('an item of a list inside a resource has the rights of that resource', () => {
  const ofVolumes = itemVerbsOf(volumes, volumes.actions.list)
  const rights = compileRights([{ path: '/api/storage/pools/p', privileges: ['DatastoreAllocate'] }])
  const item = { id: 'p/v', name: 'v', used_by: null }
  expect(verbsFor(ofVolumes, item, { id: 'p' }, rights).can).toContain('delete')
  expect(verbsFor(ofVolumes, item, { id: 'q' }, rights).can).toEqual([])
})

test('every condition of a contract names a field of its record, and values that it can have', () => {
  for (const { name, actions } of contracts)
    for (const [verb, action] of Object.entries(actions)) {
      if (!isChange(action) || !action.possible) continue
      const record = propertiesOf(actions['get']!.result)
      for (const [field, values] of Object.entries(action.possible)) {
        const { type, enum: words } = record[field] as { type?: string; enum?: unknown[] }
        for (const value of values)
          expect(type === 'boolean' ? typeof value === 'boolean' : words, `${name}.${verb} ${field}`).toSatisfy(
            (known: unknown) => known === true || (known as unknown[]).includes(value),
          )
      }
    }
})
