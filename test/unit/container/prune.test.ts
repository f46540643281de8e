import { expect, test } from 'vitest'
import type { Image } from '#shared/contracts/container/images.ts'
import type { ContainerRecord } from '../../../services/container/model.ts'
import { sortContainers, sortImages } from '../../../services/container/prune/plan.ts'

const always = () => true
const container = (id: string, more: object = {}) => ({
  container: { id, name: id, node: 'n', runtime: 'docker', managed: true, exit_code: 0, ...more } as ContainerRecord,
  size_bytes: 5,
})
const image = (id: string, more: Partial<Image> = {}): Image => ({
  id,
  name: `${id}:latest`,
  runtime: 'docker',
  node: 'n',
  engine_id: id,
  tags: [`${id}:latest`],
  size_bytes: 10,
  used_by: [],
  users: 0,
  created_at: '2020-01-01T00:00:00.000Z',
  ...more,
})
const how = { going: new Set<string>(), kind: 'unused' as const, mayRemove: always, now: Date.parse('2026-01-01') }
const reasons = (items: { id: string; reason: string }[]) => items.map(({ id, reason }) => `${id}: ${reason}`)

test('stopped containers go, except those that are only shown and those that the caller may not remove', () => {
  const all = [container('a', { exit_code: 3 }), container('b', { managed: false }), container('c')]
  const sorted = sortContainers(all, (path) => path !== '/api/containers/c')
  expect(reasons(sorted.remove)).toEqual(['a: it is stopped, with exit code 3'])
  expect(reasons(sorted.skipped)).toEqual([
    'b: it was discovered and is only shown: adopt it first',
    'c: you may not remove it',
  ])
})

test('images that only containers of the plan are made of go with them', () => {
  const used = image('used', { users: 2, used_by: [{ id: 'a', name: 'a' }] })
  const freed = image('freed', { users: 1, used_by: [{ id: 'a', name: 'a' }] })
  const sorted = sortImages([used, freed, image('free')], { ...how, going: new Set(['a']) })
  expect(reasons(sorted.remove)).toEqual([
    'freed: only containers of this plan are made of it',
    'free: no container is made of it',
  ])
})

test('images without a name go alone when no others are wanted, and not while they may be in the making', () => {
  const old = image('old', { tags: [] })
  const young = image('young', { tags: [], created_at: '2025-12-31T23:59:00.000Z' })
  const sorted = sortImages([image('named'), old, young], { ...how, kind: 'unnamed' })
  expect(reasons(sorted.remove)).toEqual(['old: it has no name and no container'])
  expect(reasons(sorted.skipped)).toEqual(['young: it has no name yet, and may be in the making'])
})
