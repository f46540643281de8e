import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { architecturePage, depthsOf, roomOf, roomsOf } from '../../tools/import-map.ts'

const root = resolve(import.meta.dirname, '../..')

test('docs/architecture.md has the current web of imports (npm run map)', () => {
  const { stored, wanted } = architecturePage()
  expect(stored === wanted, 'The web of imports has changed: npm run map').toBe(true)
})

test('every file that docs/architecture.md names exists', () => {
  const [prose = ''] = architecturePage().stored.split('## The web of imports')
  const named = [...prose.matchAll(/`((?:shared|services|bin|test|web|docs)\/[\w./-]+)`/g)].map(([, path]) => path!)
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([])
})

test('a room is a folder, and a file beside rooms is a row of its own', () => {
  expect(roomOf('services/vm/hardware/devices/disks.ts')).toBe('services/vm/hardware')
  expect(roomOf('services/vm/drivers/qemu/xml/xml.ts')).toBe('services/vm/drivers/qemu')
  expect(roomOf('services/vm/model.ts')).toBe('services/vm/model.ts')
  expect(roomOf('shared/bus/identity/keys.ts')).toBe('shared/bus/identity')
  expect(roomOf('shared/errors.ts')).toBe('shared/errors.ts')
  expect(roomOf('packages/embedded-store/src/wire/scram.ts')).toBe('packages/embedded-store')
})

test('the depth of a file is its longest chain of imports', () => {
  const graph = new Map([
    ['a', ['b', 'c']],
    ['b', ['c']],
    ['c', []],
  ])
  expect([...depthsOf(graph)].toSorted()).toEqual([
    ['a', 2],
    ['b', 1],
    ['c', 0],
  ])
})

test('rooms stand in the order that leaves the fewest imports upward', () => {
  const graph = new Map([
    ['shared/a/1.ts', ['shared/b/1.ts', 'shared/b/2.ts']],
    ['shared/b/1.ts', []],
    ['shared/b/2.ts', ['shared/c/1.ts']],
    ['shared/c/1.ts', []],
    ['shared/c/2.ts', ['shared/a/1.ts', 'shared/a/1.ts']],
  ])
  const rooms = roomsOf(graph)
  expect(rooms.map(({ name }) => name)).toEqual(['shared/b', 'shared/a', 'shared/c'])
  expect(rooms[0]!.above).toEqual(new Map([['shared/c', 1]]))
})
