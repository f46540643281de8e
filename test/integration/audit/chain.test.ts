import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Caller } from '#shared/access/access.ts'
import { recordAudit } from '#shared/audit/audit.ts'
import { audit } from '#shared/contracts/core/audit.ts'
import { auth } from '#shared/contracts/access/auth.ts'
import { auditService } from '../../../services/audit/service.ts'
import { chain } from '../../../services/audit/models.ts'
import { issuedSetupToken } from '../../../services/auth/sign-in/first-start.ts'
import { authService } from '../../../services/auth/service.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'

let horcrux: TestHorcrux
const anonymous: Caller = { kind: 'anonymous', address: '192.0.2.1' }
const bob: Caller = { kind: 'service', name: 'vms', user: 'bob', address: '192.0.2.2' }

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [authService, auditService] })
})
afterAll(() => horcrux?.stop())

const leave = (id: string, path = '/api/vms/7') =>
  recordAudit({ id, caller: bob, kind: 'vm_started', path, action: 'vms.start', result: 'success', request_id: 'r' })

test('the latest actions are in the list, the newest first', async () => {
  await horcrux
    .call(auth, 'login', { username: 'mallory', password: 'wrong' }, { caller: anonymous })
    .catch(() => undefined)
  const username = 'alice'
  const token = issuedSetupToken()!
  await horcrux.call(auth, 'setup', { token, username, password: 'Sonnenblume-7' }, { caller: anonymous })
  const { data } = await horcrux.call(audit, 'list', {})
  expect(data.map(({ kind, user, address }) => [kind, user, address])).toEqual([
    ['config_changed', 'alice', '192.0.2.1'],
    ['login_failed', 'mallory', '192.0.2.1'],
  ])
})

test('many records at once are all in the chain, each once, without a gap', async () => {
  await Promise.all(Array.from({ length: 2500 }, (_, i) => leave(`burst-${i % 2000}`)))
  const verdict = await horcrux.call(audit, 'verify', {})
  expect(verdict).toMatchObject({ valid: true, findings: [], records: 2002, from_seq: 1, to_seq: 2002 })
})

test('a record that was altered in the store is found and located', async () => {
  await chain.collection.updateOne({ seq: 1000 }, { $set: { action: 'vms.stop' } })
  const { valid, findings } = await horcrux.call(audit, 'verify', {})
  expect(valid).toBe(false)
  expect(findings).toMatchObject([{ seq: 1000, problem: 'altered' }])
  await chain.collection.updateOne({ seq: 1000 }, { $set: { action: 'vms.start' } })
  expect(await horcrux.call(audit, 'verify', {})).toMatchObject({ valid: true })
})

test('personal data can be removed, and the chain still verifies', async () => {
  const { records } = await horcrux.call(audit, 'erase', { user: 'bob' })
  expect(records).toBe(2000)
  const { data } = await horcrux.call(audit, 'list', { kind: 'vm_started', limit: 1 })
  expect(data[0]).toMatchObject({ user: null, address: null, path: '/api/vms/7' })
  expect(await horcrux.call(audit, 'verify', {})).toMatchObject({ valid: true, removed: 2000 })
})
