import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { importMapPage, depthsOf, roomOf, roomsOf } from '../../tools/import-map.ts'

const root = resolve(import.meta.dirname, '../..')

test('docs/import-map.md is current (npm run map)', () => {
  const { stored, wanted } = importMapPage()
  expect(stored === wanted, 'The imports have changed: npm run map').toBe(true)
})

const architecture = readFileSync(join(root, 'docs/architecture.md'), 'utf8')

test('every file that docs/architecture.md names exists', () => {
  const named = [...architecture.matchAll(/`((?:shared|services|bin|test|web|docs)\/[\w./-]+)`/g)].map(
    ([, path]) => path!,
  )
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([])
})

test('the table of services in docs/architecture.md names each service once', () => {
  const listed = [...architecture.matchAll(/^\| `services\/([\w-]+)` \|/gm)].map(([, name]) => name!)
  expect(listed.toSorted()).toEqual(readdirSync(join(root, 'services')).toSorted())
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
