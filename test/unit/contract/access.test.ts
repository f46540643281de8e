import { expect, test } from 'vitest'
import { type Action, accessOf, contract, fillPath } from '#shared/contract/contract.ts'
import { Done, None } from '#shared/contracts/common.ts'

const plain = { does: 'Do something', params: None, result: Done } as const

test('an action without its privilege does not compile', () => {
  const forgotten = contract('forgotten', {
    // @ts-expect-error: `can` is missing; should this ever compile, the type check fails for the line that expects it
    read: { ...plain, rest: 'GET /forgotten' },
  })
  const misspelt = contract('misspelt', {
    // @ts-expect-error: there is no such privilege
    read: { ...plain, rest: 'GET /misspelt', can: 'VmAdit on /api/vms' },
  })
  const nowhere = contract('nowhere', {
    // @ts-expect-error: a privilege is on a path
    read: { ...plain, rest: 'GET /nowhere', can: 'VmAudit' },
  })
  expect([forgotten, misspelt, nowhere].map(({ name }) => name)).toEqual(['forgotten', 'misspelt', 'nowhere'])
})

test('creating inside a parent needs the privilege on the parent, when the parent is named', () => {
  const action: Action = {
    ...plain,
    rest: 'POST /things',
    can: 'VmAllocate on /api/things/{id}',
    canInside: 'VmAllocate on /api/boxes/{box}',
    audit: 'config_changed',
  }
  expect(accessOf(action, { id: 'a' })).toBe('VmAllocate on /api/things/{id}')
  expect(accessOf(action, { id: 'a', box: 'b' })).toBe('VmAllocate on /api/boxes/{box}')
})

test('a resource path is built from parameters before they are validated', () => {
  const path = '/api/vms/{id}/disks/{disk}'
  expect(fillPath(path, { id: 'a/../b c', disk: '\uD800' })).toBe('/api/vms/a%2F..%2Fb%20c/disks/%EF%BF%BD')
  expect(fillPath(path, { id: { toString: true }, disk: 'vda' })).toBe('/api/vms/disks/vda')
  expect(fillPath(path, { id: ['a'], disk: null })).toBe('/api/vms/disks')
})
