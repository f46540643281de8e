import { afterAll, beforeAll, expect, test } from 'vitest'
import { auth } from '#shared/contracts/access/auth.ts'
import { groups } from '#shared/contracts/access/groups.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { roles } from '#shared/contracts/access/roles.ts'
import { users } from '#shared/contracts/access/users.ts'
import { ConflictError, ForbiddenError, NotFoundError, ValidationError } from '#shared/errors.ts'
import { type Person, signIn, startTwice } from '../../lab/people/auth.ts'
import type { Replica, TestHorcrux } from '../../lab/product/horcrux.ts'

let horcrux: TestHorcrux
let replica: Replica
let root: Person
const password = 'Kirschkuchen-12'

beforeAll(async () => ({ horcrux, replica, root } = await startTwice()))
afterAll(() => horcrux?.stop())

const makeUser = async (username: string) => {
  await root.call(users, 'create', { username, password })
  return signIn(horcrux, username, password)
}
const toUser = (id: string) => ({ kind: 'user' as const, id })
const grant = (subject: object, role: string, path: string, more: object = {}) =>
  root.call(permissions, 'create', { subject, role, path, ...more })
const may = async (user: string, privilege: string, path: string, more: object = {}) =>
  (await root.call(permissions, 'explain', { user, privilege, path, ...more })).allowed

/** At the other replica, so that nothing that this process remembers can help. */
const there = (action: string, params: object) =>
  horcrux.broker.call<never, object>(action, params, {
    nodeID: replica.nodeId,
    meta: { caller: { kind: 'service', name: 'test' }, requestId: 'test' },
  })

test('a new grant and its removal hold at once on every replica', async () => {
  await makeUser('reader')
  const question = { user: 'reader', privilege: 'VmAudit', path: '/api/vms/7' }
  expect(await there('permissions.explain', question)).toMatchObject({ allowed: false })
  const { id } = await grant(toUser('reader'), 'VmUser', '/api/v1/vms/*')
  expect(await there('permissions.explain', question)).toMatchObject({
    allowed: true,
    because: "'reader' has the role VmUser on /api/vms/*",
    proof: [{ grant: id, fails: [] }],
  })
  await root.call(permissions, 'delete', { id })
  expect(await there('permissions.explain', question)).toMatchObject({ allowed: false })
})

test('conditions of a grant: network, hours, expiry; impossible conditions are refused', async () => {
  await makeUser('worker')
  await grant(toUser('worker'), 'VmUser', '/api/vms/**', {
    networks: ['10.0.0.0/8'],
    hours: { timezone: 'Europe/Berlin', windows: [{ days: [1, 2, 3, 4, 5], from: '08:00', until: '18:00' }] },
    expires_at: '2100-01-01T00:00:00Z',
  })
  const ask = (address: string, at: string) => may('worker', 'VmAudit', '/api/vms/7', { address, at })
  expect(await ask('10.1.2.3', '2026-03-02T07:00:00Z')).toBe(true)
  expect(await ask('10.1.2.3', '2026-03-02T06:59:00Z')).toBe(false)
  expect(await ask('10.1.2.3', '2026-03-01T12:00:00Z')).toBe(false)
  expect(await ask('192.0.2.1', '2026-03-02T07:00:00Z')).toBe(false)
  expect(await ask('10.1.2.3', '2100-03-01T12:00:00Z')).toBe(false)
  const nonsense = [
    { networks: ['10.0.0.0/40'] },
    { hours: { timezone: 'Mars/Olympus', windows: [{ days: [1], from: '08:00', until: '09:00' }] } },
    { expires_at: '2020-01-01T00:00:00Z' },
  ]
  for (const condition of nonsense)
    await expect(grant(toUser('worker'), 'VmUser', '/api/vms/*', condition)).rejects.toThrow(ValidationError)
  await expect(grant(toUser('stranger'), 'VmUser', '/api/vms/*')).rejects.toThrow(/there is no user 'stranger'/)
  await expect(grant(toUser('worker'), 'Nothing', '/api/vms/*')).rejects.toThrow(/there is no role 'Nothing'/)
  await expect(grant(toUser('worker'), 'VmUser', '/api/*/vms')).rejects.toThrow(ValidationError)
})

test('a user can neither grant nor take over more rights than their own', async () => {
  await makeUser('victim')
  await grant(toUser('victim'), 'StorageAdmin', '/')
  const clerk = await makeUser('clerk')
  await root.call(roles, 'create', { name: 'Clerk', description: '', privileges: ['UserModify'] })
  await grant(toUser('clerk'), 'Clerk', '/')
  await grant(toUser('clerk'), 'VmUser', '/api/vms/*')
  const attempts = [
    () => clerk.call(permissions, 'create', { subject: toUser('clerk'), role: 'Administrator', path: '/' }),
    () => clerk.call(permissions, 'create', { subject: toUser('clerk'), role: 'VmUser', path: '/api/vms/**' }),
    () => clerk.call(users, 'change', { username: 'admin', password: 'Apfelstrudel-3' }),
    () => clerk.call(users, 'delete', { username: 'victim' }),
    () => clerk.call(users, 'createKey', { username: 'victim', name: 'mine now' }),
    () => clerk.call(users, 'create', { username: 'puppet', password, roles: ['Administrator'] }),
    () => clerk.call(roles, 'create', { name: 'Big', description: '', privileges: ['VmAllocate'] }),
    () => clerk.call(roles, 'replace', { name: 'Clerk', description: '', privileges: ['UserModify', 'SysModify'] }),
  ]
  for (const attempt of attempts) await expect(attempt()).rejects.toThrow(ForbiddenError)
  await clerk.call(permissions, 'create', { subject: toUser('victim'), role: 'VmUser', path: '/api/vms/7' })
})

test('a user can neither grant a right for longer than their own lasts, nor take over a user whose right lasts longer', async () => {
  const temp = await makeUser('temp')
  await root.call(groups, 'create', { id: 'lasting', name: 'lasting' })
  await grant({ kind: 'group', id: 'lasting' }, 'VmUser', '/api/vms/9')
  const inDays = (days: number) => new Date(Date.now() + days * 24 * 3_600_000).toISOString()
  await grant(toUser('temp'), 'Administrator', '/', { expires_at: inDays(2), networks: ['192.0.2.0/24'] })
  const give = (more: object) =>
    temp.call(permissions, 'create', { subject: toUser('temp'), role: 'Administrator', path: '/', ...more })
  const attempts = [
    () => give({}),
    () => give({ expires_at: inDays(3) }),
    () => temp.call(users, 'change', { username: 'admin', password: 'Apfelstrudel-3' }),
    () => temp.call(users, 'createKey', { username: 'admin', name: 'for ever' }),
    () => temp.call(users, 'create', { username: 'puppet', password, roles: ['Administrator'] }),
    () => temp.call(groups, 'putMember', { id: 'lasting', username: 'temp' }),
  ]
  for (const attempt of attempts) await expect(attempt()).rejects.toThrow(/for that long/)
  await give({ expires_at: inDays(1) })
  await temp.call(users, 'create', { username: 'harmless', password })
})

test('the last administrator cannot be removed, by any way', async () => {
  const [own] = (await root.call(permissions, 'list', { filter: 'subject:admin' })).data
  const attempts = [
    () => root.call(users, 'change', { username: 'admin', enabled: false }),
    () => root.call(users, 'delete', { username: 'admin' }),
    () => root.call(permissions, 'delete', { id: own!.id }),
  ]
  for (const attempt of attempts) await expect(attempt()).rejects.toThrow(/nobody who may administer/)
})

test('a group inherits from its parents, and never from itself, also when two replicas try at once', async () => {
  await makeUser('member')
  for (const id of ['staff', 'ops', 'ring-a', 'ring-b']) await root.call(groups, 'create', { id, name: id })
  await root.call(groups, 'replace', { id: 'ops', name: 'ops', parents: ['staff'] })
  await grant({ kind: 'group', id: 'staff' }, 'VmUser', '/api/vms/7')
  expect(await may('member', 'VmConsole', '/api/vms/7')).toBe(false)
  await root.call(groups, 'putMember', { id: 'ops', username: 'member' })
  expect(
    await root.call(permissions, 'explain', { user: 'member', privilege: 'VmConsole', path: '/api/vms/7' }),
  ).toMatchObject({
    allowed: true,
    because: "'member' has the role VmUser on /api/vms/7 by the group ops → staff",
  })
  await expect(root.call(groups, 'replace', { id: 'staff', name: 'staff', parents: ['ops'] })).rejects.toThrow(
    'staff → ops → staff',
  )
  const both = await Promise.allSettled([
    root.call(groups, 'replace', { id: 'ring-a', name: 'ring-a', parents: ['ring-b'] }),
    there('groups.replace', { id: 'ring-b', name: 'ring-b', description: '', parents: ['ring-a'] }),
  ])
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  await root.call(groups, 'removeMember', { id: 'ops', username: 'member' })
  expect(await may('member', 'VmConsole', '/api/vms/7')).toBe(false)
})

test("a pool's limits are exact under 200 creates at once over two replicas", async () => {
  const limits = { cpus: 100, memory: 64_000, disk: null, instances: 60 }
  await root.call(resourcePools, 'create', { id: 'dev', name: 'dev', limits })
  const one = { cpus: 2, memory: 1024, disk: 10 * 2 ** 30 }
  const creates = await Promise.allSettled(
    Array.from({ length: 200 }, (_, i) => {
      const params = { pool: 'dev', kind: 'vm', id: `vm-${i}`, ...one }
      return i % 2 ? horcrux.call(resourcePools, 'reserve', params) : there('resource-pools.reserve', params)
    }),
  )
  const made = creates.filter(({ status }) => status === 'fulfilled').length
  expect(made).toBe(50)
  for (const create of creates)
    if (create.status === 'rejected')
      expect((create.reason as Error).message).toMatch(/would exceed its limits: 2 vCPUs wanted, 100 of 100 used/)
  const pool = await root.call(resourcePools, 'get', { id: 'dev' })
  expect(pool.used).toEqual({ cpus: 100, memory: 51_200, disk: 50 * 10 * 2 ** 30, instances: 50 })
  expect(pool.members).toHaveLength(50)

  const [first] = pool.members
  const reserve = (cpus: number) =>
    horcrux.call(resourcePools, 'reserve', { pool: 'dev', kind: 'vm', id: first!.id, ...one, cpus })
  await reserve(2)
  await expect(reserve(3)).rejects.toThrow(ConflictError)
  await reserve(1)
  for (const { kind, id } of pool.members) {
    await horcrux.call(resourcePools, 'release', { kind, member: id })
    await horcrux.call(resourcePools, 'release', { kind, member: id })
  }
  const { used } = await root.call(resourcePools, 'get', { id: 'dev' })
  expect(used).toEqual({ cpus: 0, memory: 0, disk: 0, instances: 0 })
})

test('a grant on a pool covers its members while they are in it', async () => {
  await makeUser('guest-1')
  await root.call(resourcePools, 'create', { id: 'lab', name: 'lab' })
  await grant(toUser('guest-1'), 'VmUser', '/api/resource-pools/lab')
  const reserve = { pool: 'lab', kind: 'vm', id: 'inside', cpus: 1, memory: 128, disk: 0 }
  expect(await may('guest-1', 'VmPowerMgmt', '/api/vms/inside')).toBe(false)
  await horcrux.call(resourcePools, 'reserve', reserve)
  expect(await may('guest-1', 'VmPowerMgmt', '/api/vms/inside')).toBe(true)
  expect(await may('guest-1', 'VmPowerMgmt', '/api/vms/outside')).toBe(false)
  const person = await signIn(horcrux, 'guest-1', password)
  expect((await person.call(resourcePools, 'list', {})).data.map(({ id }) => id)).toEqual(['lab'])
  await expect(person.call(resourcePools, 'get', { id: 'dev' })).rejects.toThrow(NotFoundError)
  await horcrux.call(resourcePools, 'release', { kind: 'vm', member: 'inside' })
  expect(await may('guest-1', 'VmPowerMgmt', '/api/vms/inside')).toBe(false)
})

test('a reservation in a resource pool gives no right to the reserved VM', async () => {
  const guest = await makeUser('guest-2')
  await root.call(resourcePools, 'create', { id: 'trap', name: 'trap' })
  await grant(toUser('guest-2'), 'VmAdmin', '/api/resource-pools/trap')
  const until = new Date(Date.now() + 60_000).toISOString()
  const reserved = { until, by: 'an operation' }
  await horcrux.call(resourcePools, 'reserve', {
    pool: 'trap',
    kind: 'vm',
    id: 'foreign',
    cpus: 1,
    memory: 128,
    disk: 0,
    reserved,
  })
  // Has every replica load the policy anew.
  await root.call(roles, 'create', { name: 'Reason', description: '', privileges: ['VmAudit'] })
  expect(await may('guest-2', 'VmConsole', '/api/vms/foreign')).toBe(false)
  expect((await guest.call(auth, 'session', {})).rights.map(({ path }) => path)).toEqual(['/api/resource-pools/trap'])
})

test('what-if lists the users who would gain and lose rights, and changes nothing', async () => {
  await makeUser('hopeful')
  const { id } = await grant(toUser('hopeful'), 'VmUser', '/api/vms/7')
  const changes = [
    { change: 'grant', subject: toUser('hopeful'), role: 'Auditor', path: '/api/vms/*' },
    { change: 'revoke', id },
  ]
  const params = { changes, users: ['hopeful'], resources: ['/api/vms/7', '/api/vms/8', '/api/containers/9'] }
  expect(await root.call(permissions, 'whatIf', params)).toMatchObject({
    users_changed: 1,
    total: 2,
    data: expect.arrayContaining([
      {
        user: 'hopeful',
        gains: ['ContainerAudit', 'DatastoreAudit', 'NetworkAudit', 'SysAudit'],
        loses: ['VmPowerMgmt', 'VmConsole'],
        paths: ['/api/vms/7'],
      },
    ]),
  })
  expect(await may('hopeful', 'VmPowerMgmt', '/api/vms/7')).toBe(true)
})

test('a role that is granted cannot be deleted, and a built-in one not be changed', async () => {
  await root.call(roles, 'create', { name: 'Watcher', description: '', privileges: ['VmAudit'] })
  const { id } = await grant(toUser('admin'), 'Watcher', '/api/vms/1')
  await expect(root.call(roles, 'delete', { name: 'Watcher' })).rejects.toThrow(/is granted 1 times/)
  await root.call(permissions, 'delete', { id })
  await root.call(roles, 'delete', { name: 'Watcher' })
  await expect(root.call(roles, 'delete', { name: 'VmUser' })).rejects.toThrow(/built in/)
  const { data } = await root.call(roles, 'list', {})
  expect(data.slice(0, 2).map(({ name }) => name)).toEqual(['Administrator', 'VmAdmin'])
})

test('deleting a user takes their keys, grants and memberships along', async () => {
  await makeUser('leaver')
  await grant(toUser('leaver'), 'VmUser', '/api/vms/1')
  await root.call(groups, 'putMember', { id: 'staff', username: 'leaver' })
  await root.call(users, 'delete', { username: 'leaver' })
  expect((await root.call(permissions, 'list', { filter: 'subject:leaver' })).total).toBe(0)
  expect((await root.call(groups, 'get', { id: 'staff' })).members).not.toContain('leaver')
})
