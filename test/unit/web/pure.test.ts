import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { allows, covers } from '../../../web/api/covers.ts'
import { changedFields, merge } from '../../../web/forms/merge.ts'
import { fieldIn, inQueries, matches, termsOf, withField } from '../../../web/lists/query.ts'
import { changedBy, concerns } from '../../../web/live/changes.ts'
import { reversed, sorted, windowOf } from '../../../web/widgets/rows.ts'
import { readSize } from '../../../web/words/size.ts'
import { compileRights } from '#shared/access/access.ts'

const GiB = 2 ** 30

test.each([
  ['1.5 GiB', 'en', 1.5 * GiB],
  ['1,5 GiB', 'de', 1.5 * GiB],
  ['1,5 GiB', 'en', undefined],
  ['20', 'en', 20 * GiB],
  ['512m', 'en', GiB / 2],
  ['22528 MiB', 'de', 22 * GiB],
  ['1.500', 'de', undefined],
  ['many', 'en', undefined],
  ['-1', 'en', undefined],
])('the size %s in %s is read or refused, never guessed', (text, locale, wanted) => {
  expect(readSize(text, 'g', locale)).toBe(wanted)
})

test('the page judges rights as the services do', () => {
  const segment = fc.constantFrom('api', 'vms', 'a', 'b', '*', '**')
  const grant = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => {
    const inner = parts.map((part, index) => (index < parts.length - 1 ? part.replaceAll('*', 'x') : part))
    return `/${inner.join('/')}`
  })
  const path = fc.array(fc.constantFrom('api', 'vms', 'a', 'b'), { maxLength: 4 }).map((parts) => `/${parts.join('/')}`)
  fc.assert(
    fc.property(fc.oneof(grant, fc.constant('/')), path, (on, asked) => {
      const rights = [{ path: on, privileges: ['VmAudit' as const] }]
      expect(covers(on, asked), `${on} ${asked}`).toBe(compileRights(rights).allows('VmAudit', asked))
      expect(allows(rights, 'VmStart', asked)).toBe(false)
    }),
  )
})

describe('a form that someone else has saved first', () => {
  const base = { name: 'web', memory: 1024, tags: ['a'] }

  test('keeps my field and takes over theirs', () => {
    const { merged, conflicts } = merge(base, { ...base, memory: 2048 }, { ...base, tags: ['a', 'b'] })
    expect({ merged, conflicts }).toEqual({ merged: { name: 'web', memory: 2048, tags: ['a', 'b'] }, conflicts: [] })
    expect(changedFields({ ...base, tags: ['a', 'b'] }, merged)).toEqual({ memory: 2048 })
  })

  test('asks about a field that both changed, unless both say the same', () => {
    const theirs = { ...base, memory: 4096, name: 'www' }
    const { conflicts } = merge(base, { ...base, memory: 2048, name: 'www' }, theirs)
    expect(conflicts).toEqual([{ field: 'memory', base: 1024, mine: 2048, theirs: 4096 }])
  })
})

test.each([
  ['web', true],
  ['db', false],
  ['status:running', true],
  ['status:stopped,running', true],
  ['-status:running', false],
  ['name:web*', true],
  ['tags:prod', true],
  ['-tags:test web', true],
  ['status:run', false],
])('the search %s', (text, isHit) => {
  const item = { name: 'web-1', status: 'running', tags: ['prod', 'eu'] }
  expect(matches(termsOf(text), item, [item.name])).toBe(isHit)
})

test('a facet sets, replaces and clears its field of the search', () => {
  const set = withField('web -tags:x', 'status', 'running')
  expect(set).toBe('web -tags:x status:running')
  expect(fieldIn(set, 'status')).toBe('running')
  expect(withField(set, 'status', 'stopped')).toBe('web -tags:x status:stopped')
  expect(withField(set, 'status', '')).toBe('web -tags:x')
})

test('a change concerns the answers at, above and below its path, and no others', () => {
  const asked = ['/api/vms', '/api/vms/a', '/api/vms/a/snapshots', '/api/vms/ab', '/api/nodes']
  expect(asked.filter((path) => concerns(path, '/api/vms/a'))).toEqual(asked.slice(0, 3))
})

test('a change of any resource leads to its path, an ended operation to all that it worked on', () => {
  const path = '/api/users/ann'
  expect(changedBy({ seq: 1, type: 'ResourceChanged', data: { path, version: 2, change: 'updated' } })).toEqual([path])
  const operation = { id: '1', resources: ['/api/vms/a', '/api/vms/b'] }
  const told = (ended_at: string | null) =>
    changedBy({ seq: 1, type: 'OperationUpdated', data: { ...operation, ended_at } })
  expect(told(null)).toEqual(['/api/operations/1'])
  expect(told('2026-01-01T00:00:00Z')).toEqual(['/api/operations/1', ...operation.resources])
})

test('a list of ten thousand draws a screenful of rows', () => {
  expect(windowOf(40, 0, 800)).toEqual({ first: 0, end: 40 })
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 10_000 }), fc.nat(450_000), (total, scrollTop) => {
      const { first, end } = windowOf(total, scrollTop, 800)
      expect(first).toBeGreaterThanOrEqual(0)
      expect(end).toBeLessThanOrEqual(total)
      expect(end - first).toBeLessThanOrEqual(42)
    }),
  )
})

test('rows are sorted both ways, numbers in names by value, and missing values last', () => {
  const rows = [{ n: 'web-10' }, { n: 'web-9' }, { n: null }]
  const columns = [{ key: 'n', value: ({ n }: { n: string | null }) => n }]
  const names = (sort: string) => sorted(rows, columns, sort).map(({ n }) => n)
  expect(names('n')).toEqual(['web-9', 'web-10', null])
  expect(names('-n')).toEqual(['web-10', 'web-9', null])
})

test('ids are asked for in as few searches as their length permits, none twice', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1, maxLength: 63 }), { maxLength: 200 }), (ids) => {
      const groups = inQueries(ids)
      expect(groups.flat()).toEqual(ids)
      const lengths = groups.map((group) => group.join().length)
      expect(Math.max(0, ...lengths)).toBeLessThan(900)
      for (const [index, group] of groups.slice(1).entries())
        expect(lengths[index]! + group[0]!.length + 2).toBeGreaterThan(900)
    }),
  )
})

test('a sort of several fields is reversed in each of them', () => {
  expect(reversed('vm_name,container_name')).toBe('-vm_name,-container_name')
  expect(reversed(reversed('-taken_at,id'))).toBe('-taken_at,id')
})
