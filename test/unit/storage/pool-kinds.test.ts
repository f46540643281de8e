import { Type } from 'typebox'
import { expect, test } from 'vitest'
import { pickerOf } from '#shared/contract/fields.ts'
import { check, fromText } from '#shared/contract/validate.ts'
import { Id, Path } from '#shared/contracts/common.ts'
import { byKind } from '#shared/contracts/storage/pool-kinds.ts'
import { Pool, pools } from '#shared/contracts/storage/pools.ts'
import type { ValidationError } from '#shared/errors.ts'
import { dir } from '../../../services/storage/drivers/dir/dir.ts'
import { nodeFor } from '../../../services/storage/pools/open-pool.ts'

/** Two kinds, as there will be more. */
const kinds = {
  folder: { given: { node: Type.String({ ...Id, default: 'local' }), path: Type.Optional(Path) } },
  cluster: { given: { monitors: Type.Array(Type.String(), { minItems: 1 }), pool: Type.String({ minLength: 1 }) } },
}
const params = byKind(kinds, 'given', { id: Type.Optional(Id) })

function violations(value: unknown, schema = params as Parameters<typeof check>[0]): string[] {
  try {
    check(schema, value)
    return []
  } catch (error) {
    return (error as ValidationError).violations.map(({ field, message }) => `${field} ${message}`).toSorted()
  }
}

test('a request is checked by its kind, with all violations at once and defaults filled in', () => {
  expect(check(params, { type: 'folder' })).toEqual({ type: 'folder', node: 'local' })
  expect(violations({ type: 'folder', id: 'new', path: 'x', monitors: ['m'] })).toEqual([
    expect.stringMatching(/^id must be 1 to 63/),
    'monitors is not known here',
    expect.stringMatching(/^path must be an absolute path/),
  ])
  expect(violations({ type: 'cluster', monitors: [], path: '/x' })).toEqual([
    'monitors must not have fewer than 1 items',
    'path is not known here',
    'pool is required',
  ])
})

test('an unknown kind is told which there are, and what is wrong whatever the kind', () => {
  expect(violations({ type: 'tape', id: 'new', path: '/x' })).toEqual([
    expect.stringMatching(/^id must be 1 to 63/),
    'type must be one of folder, cluster',
  ])
  expect(violations({ type: 'tape', name: 'a b', path: 7 }, pools.actions.create.params)).toEqual([
    'name must have only letters, digits, _ and -',
    expect.stringMatching(/^type must be one of dir, /),
  ])
})

test('a request without a kind is told so', () => {
  expect(violations({ path: '/x' })).toContain('type is required')
})

test('fields of every kind are known to the reading of text and to `fields=`', () => {
  expect(fromText(params, { path: '7', pool: '7' })).toEqual({ path: '7', pool: '7' })
  const pick = pickerOf(Pool, 'path,nodes')!
  expect(pick({ id: 'a', path: '/a', nodes: ['hv1'], name: 'a' })).toEqual({ id: 'a', path: '/a', nodes: ['hv1'] })
  expect(() => pickerOf(Pool, 'colour')).toThrow(/no 'colour'; there are .*nodes.*path/)
})

test('a storage pool is worked on from the wanted node, or any that reaches it', () => {
  const shared = { id: 'a', nodes: ['hv1', 'hv2'] }
  expect(nodeFor(shared)).toBe('hv1')
  expect(nodeFor(shared, 'hv2')).toBe('hv2')
  expect(() => nodeFor(shared, 'hv3')).toThrow("Storage pool 'a' is not reached from node 'hv3'")
  expect(nodeFor({ id: 'a', nodes: null }, 'hv3')).toBe('hv3')
  expect(nodeFor({ id: 'a', nodes: null })).toBe('local')
})

test('a folder that several nodes see is reached from each of them, and is shared', () => {
  const alone = { node: 'hv1', path: '/srv/vms' }
  expect([dir.nodesOf(alone), dir.capabilitiesOf(alone).shared]).toEqual([['hv1'], false])
  const shared = { ...alone, shared_with: ['hv2', 'hv1'] }
  expect([dir.nodesOf(shared), dir.capabilitiesOf(shared).shared]).toEqual([['hv1', 'hv2'], true])
})
