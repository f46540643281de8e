import { Type } from 'typebox'
import { expect, test } from 'vitest'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { backupJobs } from '#shared/contracts/storage/backup-jobs.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import type { ValidationError } from '#shared/errors.ts'
import { check } from '#shared/contract/validate.ts'

function violations(schema: Parameters<typeof check>[0], value: unknown): [string, string][] {
  try {
    check(schema, value)
    return []
  } catch (error) {
    return (error as ValidationError).violations.map(({ field, message }) => [field, message])
  }
}

const vm = vms.actions.create.params
const good = { name: 'web', memory: 256, cpus: 1 }

test('three mistakes are three violations, each with its field', () => {
  expect(violations(vm, { name: 'a b', memory: 100, cpus: 0 }).toSorted()).toEqual([
    ['cpus', 'must be at least 1'],
    ['memory', 'must be at least 128 and must be a multiple of 128'],
    ['name', 'must have only letters, digits, _ and -'],
  ])
})

test('a missing and an unknown field are each their own violation', () => {
  expect(violations(vm, { name: 'web', cpus: 1, colour: 'red' }).toSorted()).toEqual([
    ['colour', 'is not known here'],
    ['memory', 'is required'],
  ])
})

test("of a disk's two forms the better match is explained", () => {
  const GiB = 2 ** 30
  expect(violations(vm, { ...good, disks: [{ pool: 'p', size: GiB - 512 }] })).toEqual([
    ['disks.0.size', `must be at least ${GiB}`],
  ])
  expect(violations(vm, { ...good, disks: [{ pool: 'p', volume: '-x' }] }).map(([field]) => field)).toEqual([
    'disks.0.volume',
  ])
})

test('a wrong object where null is allowed too is explained field by field', () => {
  const given = { id: 'n', max_age_hours: 'x', retention: { last: -1 }, proof: { data_days: 0, boot: null } }
  expect(violations(backupJobs.actions.update.params, given).toSorted()).toEqual([
    ['max_age_hours', 'must be an integer'],
    ['proof.data_days', 'must be at least 1'],
    ['proof.max_boot_age_hours', 'is required'],
    ['proof.max_data_age_hours', 'is required'],
    ['retention.last', 'must be at least 0'],
  ])
})

test('defaults are filled in, also within the forms of a disk', () => {
  const filled = check<Record<string, unknown>>(vm, { ...good, disks: [{ pool: 'p', size: 2 ** 30 }] })
  expect(filled).toMatchObject({
    start: false,
    disks: [{ bus: 'virtio', cache: 'writeback' }],
  })
})

test('numbers are not read out of text in a body', () => {
  expect(violations(vm, { ...good, memory: '256' })).toEqual([['memory', 'must be an integer']])
})

test('a reserved word is not an id', () => {
  expect(violations(vm, { ...good, id: 'summary' }).map(([field]) => field)).toEqual(['id'])
})

test('more mistakes than the validator lists by default are all named', () => {
  const many = Type.Object(Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`f${index}`, Type.Integer()])))
  expect(violations(many, {})).toHaveLength(30)
})

test('each item of a list of alternatives has its own mistakes; for an unknown alternative the known ones are named', () => {
  const { params } = permissions.actions.whatIf
  const changes = [{ change: 'revoke' }, { change: 'granted', id: 'x' }, { change: 'delete_pool' }]
  const [first, second, third, ...others] = violations(params, { changes })
  expect(first).toEqual(['changes.0.id', 'is required'])
  expect(second).toEqual(['changes.1.change', expect.stringMatching(/^must be one of grant, revoke, role, .*, user$/)])
  expect(third).toEqual(['changes.2.pool', 'is required'])
  expect(others).toEqual([])
})

test('each name and each value of a map has its own mistake', () => {
  const given = {
    name: 'web',
    runtime: 'docker',
    image: 'a',
    labels: { '-a': 'x', b: false, '}': 1 },
    env: { 'a b': '' },
  }
  expect(violations(containers.actions.create.params, given).toSorted()).toEqual([
    ['env.a b', 'has a wrong name: letters, digits, _ . and -, with a letter or _ first'],
    ['labels.-a', 'has a wrong name: letters, digits, . _ / and -, with a letter or digit first'],
    ['labels.b', 'must be a string'],
    ['labels.}', expect.stringContaining('must be a string')],
  ])
})
