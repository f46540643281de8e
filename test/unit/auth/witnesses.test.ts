import { expect, test } from 'vitest'
import { builtInRoles } from '#shared/access/privileges.ts'
import type { StoredKey } from '../../../services/auth/models.ts'
import { rightsEnd } from '../../../services/auth/policy/effective.ts'
import type { Policy, PolicyGrant } from '../../../services/auth/policy/policy.ts'
import { poolsOf, witnessesOf } from '../../../services/auth/policy/witnesses.ts'

const at = new Date('2026-03-02T07:30:20.000Z')
const path = '/api/vms/7'
const grant = (to: string, role: string, where: string, more: Partial<PolicyGrant> = {}): PolicyGrant => {
  const [kind, id] = to.split(':') as ['user' | 'group' | 'api_key', string]
  return { id: `${to} ${role} ${where}`, subject: { kind, id }, role, path: where, ...more }
}
const policyOf = (...grants: PolicyGrant[]): Policy => ({
  grants,
  roles: new Map(Object.entries(builtInRoles)),
  groups: new Map([
    ['staff', { id: 'staff', parents: [], members: [] }],
    ['ops', { id: 'ops', parents: ['staff'], members: ['olga'] }],
  ]),
  pools: new Map([
    ['team', { id: 'team', members: ['/api/vms/7', '/api/vms/8'] }],
    ['other', { id: 'other', members: ['/api/vms/70'] }],
  ]),
})
const keyOf = (id: string, user: string) => ({ id, user, restricted: true }) as StoredKey
const ask = (policy: Policy, keys: StoredKey[] = []) => witnessesOf(policy, keys, { path, privilege: 'VmAudit', at })

test('witnesses of a deletion are the users whose privilege comes from a grant that ends with the resource', () => {
  const policy = policyOf(
    grant('user:ann', 'VmUser', path),
    grant('user:bob', 'VmUser', `${path}/**`, { networks: ['10.0.0.0/8'] }),
    grant('user:cid', 'StorageAdmin', path),
    grant('user:dan', 'VmUser', '/api/vms/70'),
    grant('user:eve', 'VmUser', path, { expires_at: '2026-03-02T07:30:20.000Z' }),
    grant('user:fay', 'VmUser', '/api/vms/*'),
    grant('group:staff', 'VmUser', path),
  )
  expect(ask(policy)).toEqual([
    { kind: 'user', id: 'ann', networks: [] },
    { kind: 'user', id: 'bob', networks: [['10.0.0.0/8']] },
    { kind: 'user', id: 'olga', networks: [] },
  ])
  expect(poolsOf(policy, path)).toEqual(['team'])
})

test('a restricted key is a witness when one of the two grants that it takes ends with the resource', () => {
  const grants = [
    grant('user:ann', 'VmUser', '/', { networks: ['192.0.2.0/24'] }),
    grant('api_key:k1', 'VmUser', path, { networks: ['10.0.0.0/8'] }),
    grant('api_key:k2', 'VmUser', '/api/vms/*'),
    grant('api_key:k3', 'NetworkAdmin', path),
    grant('user:bob', 'VmUser', path),
    grant('api_key:k4', 'VmUser', '/api/resource-pools/team'),
  ]
  const keys = [keyOf('k1', 'ann'), keyOf('k2', 'ann'), keyOf('k3', 'ann'), keyOf('k4', 'bob')]
  expect(ask(policyOf(...grants), keys)).toEqual([
    { kind: 'user', id: 'bob', networks: [] },
    { kind: 'api_key', id: 'k1', networks: [['192.0.2.0/24'], ['10.0.0.0/8']] },
    { kind: 'api_key', id: 'k4', networks: [] },
  ])
})

test('rights may change by themselves at the next expiry, and with each minute where hours are set', () => {
  const hours = { timezone: 'UTC', windows: [{ days: [1], from: '07:00', until: '08:00' }] }
  const end = (...grants: PolicyGrant[]) =>
    rightsEnd(policyOf(...grants), { user: 'ann', restrictedTo: 'k1' }, at)?.toISOString() ?? null
  expect(end(grant('user:ann', 'VmUser', '/'))).toBeNull()
  expect(end(grant('user:bob', 'VmUser', '/', { hours }))).toBeNull()
  expect(end(grant('user:ann', 'VmUser', '/', { hours }))).toBe('2026-03-02T07:31:00.000Z')
  const soon = { expires_at: '2026-03-02T07:30:25.000Z' }
  expect(end(grant('user:ann', 'VmUser', '/', { hours }), grant('api_key:k1', 'VmUser', '/', soon))).toBe(
    soon.expires_at,
  )
  expect(end(grant('user:ann', 'VmUser', '/', { hours, expires_at: '2026-03-02T07:30:00.000Z' }))).toBeNull()
})
