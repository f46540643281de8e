import { expect, test } from 'vitest'
import { bodyOfNew, kindOf, planOf } from '../../../cli/apply/desired.ts'
import { escapes } from '../../../cli/commands/console.ts'
import { withFlags } from '../../../cli/actions/send.ts'
import { ApiFailure, failureOf } from '../../../cli/http/failures.ts'
import { actionOf, manifest, nouns } from '../../../cli/manifest/manifest.ts'
import { candidatesFor } from '../../../cli/completion/complete.ts'
import { CommandError } from '../../../cli/errors.ts'

const vm = {
  id: 'web',
  name: 'web',
  memory: 256,
  status: 'running',
  tags: ['a'],
  version: 4,
  created_at: '2026-11-30T00:00:00Z',
  disks: [{ id: 'vda', pool: 'main', size_bytes: 1 }],
}

test('a record that was read changes nothing when it is applied', () => {
  expect(planOf(kindOf('vms'), vm, { ...vm })).toEqual({ changes: [], body: {}, fixed: [] })
})

test('only fields that differ are sent; computed fields of an old file are no change', () => {
  const { changes, body, fixed } = planOf(kindOf('vm'), vm, { ...vm, memory: 512, status: 'stopped', version: 2 })
  expect({ changes, body, fixed }).toEqual({
    changes: [{ field: 'memory', from: 256, to: 512 }],
    body: { memory: 512 },
    fixed: [],
  })
})

test('a field that only a creation takes is told apart', () => {
  const { changes, fixed } = planOf(kindOf('vms'), vm, { disks: [{ pool: 'other' }] })
  expect(changes).toEqual([])
  expect(fixed.map(({ field }) => field)).toEqual(['disks'])
})

test('a disk is unchanged if it has all that the file says', () => {
  expect(planOf(kindOf('vms'), vm, { disks: [{ pool: 'main' }] }).fixed).toEqual([])
})

test('a replacement sends all its fields', () => {
  const group = { id: 'team', name: 'team', parents: [], description: 'old', version: 1 }
  const { body, changes } = planOf(kindOf('groups'), group, { id: 'team', description: 'new' })
  expect(changes.map(({ field }) => field)).toEqual(['description'])
  expect(body).toMatchObject({ description: 'new', name: 'team', parents: [] })
})

test('a record is created anew without the fields of the server', () => {
  expect(bodyOfNew(kindOf('vms'), { ...vm, node: 'local', iso: null })).toEqual({
    id: 'web',
    name: 'web',
    memory: 256,
    tags: ['a'],
    disks: vm.disks,
    node: 'local',
  })
})

test('a kind that cannot be applied is refused by name', () => {
  expect(() => kindOf('operations')).toThrow("'operations' cannot be applied")
  expect(() => kindOf(undefined)).toThrow('has no noun')
})

test('violations name the flags and arguments', () => {
  const body = {
    message: 'x',
    violations: [
      { field: 'memory', code: 'multipleOf', message: 'must be a multiple of 128' },
      { field: 'disks.0.size', code: 'type', message: 'must be an integer' },
      { field: 'name', code: 'pattern', message: 'must have only letters' },
    ],
  }
  const error = failureOf(422, body, { target: { url: 'http://h' }, method: 'POST', path: '/vms' })
  expect(withFlags(error, actionOf('vms', 'create'))).toMatchObject({
    code: 2,
    message: '--memory must be a multiple of 128\n--disks (0.size) must be an integer\nNAME must have only letters',
  })
})

test.each([
  [400, 2],
  [401, 4],
  [403, 5],
  [404, 3],
  [409, 6],
  [412, 6],
  [422, 2],
  [429, 7],
  [503, 7],
  [500, 1],
])('status %i ends with exit code %i', (status, code) => {
  const error = failureOf(status, { message: 'x' }, { target: { url: 'http://h' }, method: 'GET', path: '/vms' })
  expect(error).toBeInstanceOf(ApiFailure)
  expect(error.code).toBe(code)
})

test('a denial names the command that explains it', () => {
  const body = { message: 'ann needs VmPowerMgmt on /api/vms/7.' }
  const error = failureOf(403, body, { target: { url: 'http://h' }, method: 'POST', path: '/vms/7/start' })
  expect(error.help).toEqual(['horcrux can-i VmPowerMgmt /api/vms/7'])
})

test('an unknown verb names the nearest one', () => {
  expect(() => actionOf('vms', 'strat')).toThrow(CommandError)
  expect(() => actionOf('vms', 'strat')).toThrow("did you mean 'vms start'?")
})

test('the escape key and q leave the console; twice it is sent once', () => {
  let hasLeft = false
  const typed = escapes(() => (hasLeft = true))
  expect(typed(Buffer.from('ls\r')).toString()).toBe('ls\r')
  expect(typed(Buffer.from([0x1d, 0x1d]))).toEqual(Buffer.from([0x1d]))
  expect(hasLeft).toBe(false)
  expect(typed(Buffer.from([0x61, 0x1d])).toString()).toBe('a')
  expect(typed(Buffer.from('q')).length).toBe(0)
  expect(hasLeft).toBe(true)
})

const words = async (...typed: string[]) => (await candidatesFor(typed)).map(({ word }) => word)

test('completion knows nouns, verbs, flags and their words without a server', async () => {
  expect(await words('')).toEqual(
    expect.arrayContaining(['login', 'start', ...nouns().filter((noun) => noun !== 'audit')]),
  )
  for (const noun of nouns())
    expect(await words(noun, '')).toEqual(
      expect.arrayContaining(
        manifest()
          .filter((one) => one.noun === noun)
          .map(({ verb }) => verb),
      ),
    )
  expect(await words('vms', 'create', 'x', '--')).toEqual(expect.arrayContaining(['--memory', '--disk', '--output']))
  expect(await words('vms', 'create', '--firmware', '')).toEqual(['bios', 'uefi'])
  expect(await words('vms', 'list', '-o', '')).toContain('yaml')
  expect(await words('apply', '-f', '')).toEqual([':files'])
  expect(await words('auth', 'password', '--')).not.toContain('--old-password')
})
