import { Type } from 'typebox'
import { CredentialRef } from '#shared/contracts/access/auth.ts'
import { nullable, oneOf, strict, Time, Version } from '#shared/contracts/common.ts'
import { Hours, Subject } from '#shared/contracts/access/permissions.ts'
import { PrivilegeName } from '#shared/contracts/access/roles.ts'
import { leaseFields } from '#shared/db/lease.ts'
import { collection } from '#shared/db/collection.ts'

const common = { id: Type.String(), created_at: Time, updated_at: Time, version: Version }

/** Users; `id` is the user name. */
export const users = collection(
  'users',
  strict({
    ...common,
    full_name: nullable(Type.String()),
    email: nullable(Type.String()),
    enabled: Type.Boolean(),
    password_hash: Type.String({ description: 'Argon2id with its parameters' }),
    totp: nullable(
      strict({
        secret: Type.String({ description: 'Sealed' }),
        confirmed: Type.Boolean(),
        last_step: Type.Integer({ description: 'Time step of the last code that was used' }),
        wrong_codes: Type.Integer(),
        recovery_hashes: Type.Array(Type.String()),
      }),
    ),
    last_login_at: nullable(Time),
  }),
  { kind: 'User', resource: { path: '/api/users/{id}', sees: 'UserModify on /api/users/{id}' } },
)
export type StoredUser = NonNullable<Awaited<ReturnType<typeof users.get>>>

export const sessions = collection(
  'sessions',
  strict({
    ...common,
    user: Type.String(),
    token_hash: Type.String({ description: 'SHA-256 of the cookie' }),
    address: Type.String(),
    last_used_at: Time,
    expires_at: Time,
  }),
  { kind: 'Session', indexes: [{ fields: { user: 1 } }, { fields: { token_hash: 1 }, unique: true }] },
)
export type StoredSession = NonNullable<Awaited<ReturnType<typeof sessions.get>>>

/** API keys; `id` is the public part of the key. */
export const apiKeys = collection(
  'api_keys',
  strict({
    ...common,
    user: Type.String(),
    name: Type.String(),
    secret_hash: Type.String({ description: 'Argon2id with its parameters' }),
    restricted: Type.Boolean(),
    expires_at: nullable(Time),
    last_used_at: nullable(Time),
    last_used_address: nullable(Type.String()),
  }),
  { kind: 'API key', indexes: [{ fields: { user: 1 } }] },
)
export type StoredKey = NonNullable<Awaited<ReturnType<typeof apiKeys.get>>>

export const grants = collection(
  'grants',
  strict({
    id: common.id,
    subject: Subject,
    role: Type.String(),
    path: Type.String(),
    networks: Type.Optional(Type.Array(Type.String())),
    hours: Type.Optional(Hours),
    expires_at: Type.Optional(Time),
    created_at: Time,
    created_by: Type.String(),
    version: Version,
  }),
  {
    kind: 'Grant',
    resource: { path: '/api/permissions/{id}', sees: 'UserModify on /api/permissions/{id}' },
    indexes: [{ fields: { 'subject.kind': 1, 'subject.id': 1 } }],
  },
)
export type StoredGrant = NonNullable<Awaited<ReturnType<typeof grants.get>>>

/** Custom roles; `id` is the name of the role. Built-in roles are not stored. */
export const roles = collection(
  'roles',
  strict({ ...common, description: Type.String(), privileges: Type.Array(PrivilegeName) }),
  { kind: 'Role', resource: { path: '/api/roles/{id}', sees: 'signed-in' } },
)

export const groups = collection(
  'groups',
  strict({
    ...common,
    name: Type.String(),
    description: Type.String(),
    parents: Type.Array(Type.String()),
    members: Type.Array(Type.String()),
  }),
  {
    kind: 'Group',
    resource: { path: '/api/groups/{id}', sees: 'UserModify on /api/groups/{id}' },
    indexes: [{ fields: { name: 1 }, unique: true }],
  },
)
export type StoredGroup = NonNullable<Awaited<ReturnType<typeof groups.get>>>

/** Sets of rights by the hash of their content. A sweeper removes those that were not used for a month. */
export const rightSets = collection(
  'right_sets',
  strict({ id: common.id, rights: Type.Unknown(), used_at: Time, version: Version }),
  { kind: 'Set of rights', indexes: [{ fields: { used_at: 1 } }] },
)

/** Signing keys of tokens: only a salt is stored; the key is derived from it and HORCRUX_JWT_SECRET. */
export const signingKeys = collection(
  'signing_keys',
  strict({
    id: common.id,
    salt: Type.String(),
    created_at: Time,
    retired_at: nullable(Time),
    revoked_at: Type.Optional(Time),
    version: Version,
  }),
  { kind: 'Signing key' },
)

/** Sign-ins of devices; `id` is the code that the user confirms. */
export const deviceSignIns = collection(
  'device_sign_ins',
  strict({
    id: common.id,
    device_hash: Type.String({ description: 'SHA-256 of the secret that the device keeps' }),
    name: Type.String(),
    address: nullable(Type.String()),
    state: oneOf('pending', 'approved', 'denied'),
    user: nullable(Type.String({ description: 'User who confirmed it' })),
    created_at: Time,
    expires_at: Time,
    version: Version,
  }),
  { kind: 'Sign-in of a device', indexes: [{ fields: { device_hash: 1 }, unique: true }] },
)
export type StoredDeviceSignIn = NonNullable<Awaited<ReturnType<typeof deviceSignIns.get>>>

/** The set-up token. It exists only as long as there is no user. */
export const setups = collection(
  'setups',
  strict({ id: common.id, token_hash: Type.String(), expires_at: Time, version: Version }),
  { kind: 'Set-up token' },
)

/** State of the policy: its revision, and the lease of the replica that changes it. */
export const policies = collection(
  'policies',
  strict({ id: common.id, revision: Type.Integer(), ...leaseFields, version: Version }),
  { kind: 'Policy' },
)

/** Tickets for one WebSocket connection each; `id` is the hash of the ticket. */
export const tickets = collection(
  'ws_tickets',
  strict({
    id: common.id,
    user: Type.String(),
    credential: CredentialRef,
    expires_at: Time,
    version: Version,
  }),
  { kind: 'Ticket', indexes: [{ fields: { expires_at: 1 } }] },
)
