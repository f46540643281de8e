import { expect, test } from 'vitest'
import { auditKinds } from '#shared/contract/audit-kinds.ts'
import { contracts } from '#shared/contracts/index.ts'

/** The routes of sections 1 and 8 of the specification, written down a second time on purpose. */
const wanted = `
  POST /auth/setup · POST /auth/login · POST /auth/logout · POST /auth/password · POST /auth/refresh · GET /auth/session
  GET /auth/sessions · DELETE /auth/sessions/: · POST /auth/totp · POST /auth/totp/confirm · DELETE /auth/totp
  POST /auth/ws-ticket · GET /users · POST /users · GET /users/: · PATCH /users/: · DELETE /users/:
  GET /users/:/api-keys · POST /users/:/api-keys · DELETE /users/:/api-keys/: · GET /users/:/permissions
  GET /roles · POST /roles · GET /roles/: · PUT /roles/: · DELETE /roles/:
  GET /permissions · POST /permissions · DELETE /permissions/: · GET /permissions/explain · POST /permissions/what-if
  GET /groups · POST /groups · GET /groups/: · PUT /groups/: · DELETE /groups/:
  PUT /groups/:/members/: · DELETE /groups/:/members/:
  GET /resource-pools · POST /resource-pools · GET /resource-pools/: · PUT /resource-pools/: · DELETE /resource-pools/:
  PUT /resource-pools/:/members/:/: · DELETE /resource-pools/:/members/:/:
  GET /audit/events · GET /audit/stats · GET /audit/security-events · GET /audit/failed-logins · GET /audit/brute-force
  GET /audit/verify`

const kinds =
  'login logout login_failed password_changed totp_changed permission_granted permission_denied role_assigned role_revoked vm_created vm_deleted vm_started vm_stopped vm_restarted vm_migrated vm_config_changed pool_created pool_deleted volume_created volume_deleted snapshot_created snapshot_deleted snapshot_restored backup_created backup_restored backup_deleted node_added node_removed policy_changed firewall_changed suspicious_activity brute_force_detected config_changed secret_accessed certificate_changed console_opened console_closed'

test('every route that the specification names is there', () => {
  const routes = wanted.split(/·|\n/).flatMap((route) => route.trim() || [])
  const there = contracts.flatMap(({ actions }) =>
    Object.values(actions).flatMap(({ rest }) => rest?.replaceAll(/\{\w+\}/g, ':') ?? []),
  )
  expect(routes).toHaveLength(51)
  expect(routes.filter((route) => !there.includes(route))).toEqual([])
})

test('every kind of audit record that the specification names is there', () => {
  const there: readonly string[] = auditKinds
  expect(kinds.split(' ').filter((kind) => !there.includes(kind))).toEqual([])
  expect(there.filter((kind) => kind.startsWith('container_')).length).toBeGreaterThan(0)
})
