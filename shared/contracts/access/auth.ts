import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, ListQuery, None, nullable, oneOf, Page, record, strict, Time } from '#shared/contracts/common.ts'
import { Password, User, Username } from '#shared/contracts/access/users.ts'
import { privileges } from '#shared/access/privileges.ts'

const ProofKind = Type.Enum(['session', 'token', 'api_key'])
export const CredentialRef = strict({
  by: ProofKind,
  id: Type.String({ description: "A session's id, or an API key's public id" }),
  signed_by: Type.Optional(Type.String({ description: 'Token: id of the signing key' })),
  restricted: Type.Optional(Type.Boolean({ description: "API key: it has only some of its user's rights" })),
})
const RightList = Type.Array(strict({ path: Type.String(), privileges: Type.Array(Type.Enum([...privileges])) }))

/** The user behind a credential, with the rights from this address at this moment. */
export const Identity = strict({
  user: Type.String(),
  rights: Type.String({ description: 'Name of the rights, by their content' }),
  credential: CredentialRef,
  expires_at: Time,
  rights_until: Type.Union([Time, Type.Null()], {
    description: 'Time at which the rights may change by expiry or weekly hours; null: never',
  }),
})
export type Identity = Static<typeof Identity>

export const Session = record('id user address last_used_at expires_at created_at')({
  id: Type.String(),
  user: Type.String(),
  address: Type.String({ description: 'Address that began it' }),
  created_at: Time,
  last_used_at: Time,
  expires_at: Time,
})
export type Session = Static<typeof Session>

const CurrentPassword = Type.String({ minLength: 1, maxLength: 1024 })
const Code = Type.String({ maxLength: 64, description: 'Six digits, or a recovery code' })
export const SignedIn = strict({
  token: Type.String({ description: 'For the header Authorization: Bearer' }),
  user: User,
  expires_at: Type.String({ format: 'date-time', description: 'End of the token; refresh it before' }),
})

export type SignedIn = Static<typeof SignedIn>

/** The letters of a device's code: no vowels, which would make words, and none that looks like another. */
const DeviceCode = Type.String({
  examples: ['BCDF-GHJK'],
  pattern: '^[BCDFGHJKLMNPQRSTVWXZbcdfghjklmnpqrstvwxz]{4}-?[BCDFGHJKLMNPQRSTVWXZbcdfghjklmnpqrstvwxz]{4}$',
  description: 'Eight letters, as BCDF-GHJK; the hyphen and the case do not matter',
})
export const DeviceSignIn = strict({
  user_code: Type.String(),
  name: Type.String({ description: 'Name that the device gave itself; not verified' }),
  address: nullable(Type.String({ description: 'Address of the device' })),
  state: oneOf('pending', 'approved', 'denied'),
  created_at: Time,
  expires_at: Time,
})

/** Bus subject for every change of identities or rights: `{user?}`; without a user it concerns all users. */
export const authChangedSubject = 'horcrux.auth.changed'

export const auth = contract('auth', {
  identify: {
    does: 'Identify the user of a credential',
    can: 'service',
    callers: ['gateway'],
    params: strict({
      by: ProofKind,
      credential: Type.String({ maxLength: 8192 }),
      address: Type.String(),
    }),
    result: Identity,
    secret: ['credential'],
  },
  recheck: {
    does: 'Check that an accepted credential is still valid, and return its rights',
    can: 'service',
    callers: ['gateway'],
    params: strict({ user: Type.String(), credential: CredentialRef, address: Type.String() }),
    result: Identity,
  },
  rights: {
    does: 'Get the rights with this name, from an offset',
    can: 'service',
    callers: 'all',
    params: strict({ name: Type.String(), offset: Type.Integer({ minimum: 0, default: 0 }) }),
    result: strict({
      rights: RightList,
      next: Type.Union([Type.Integer(), Type.Null()], { description: 'Offset of the next page' }),
    }),
  },
  redeem: {
    does: 'Redeem a one-time ticket for a WebSocket',
    can: 'service',
    callers: ['gateway'],
    params: strict({ ticket: Type.String({ maxLength: 256 }), address: Type.String() }),
    result: Identity,
    secret: ['ticket'],
  },
  countSignInAttempt: {
    does: 'Count sign-in and set-up attempts of an address within a minute, over all gateways',
    can: 'service',
    callers: ['gateway'],
    params: strict({ address: Type.String() }),
    result: strict({
      count: Type.Integer(),
      reset_seconds: Type.Integer({ description: 'Seconds left of the minute' }),
    }),
  },
  setupNeeded: {
    does: 'Tell whether there is no user yet, so that the set-up token is needed',
    rest: 'GET /auth/setup',
    can: 'anyone',
    params: None,
    result: strict({ needed: Type.Boolean() }),
  },
  setup: {
    does: 'Make the first user, an administrator, with the set-up token of the first start',
    rest: 'POST /auth/setup',
    can: 'anyone',
    audit: 'config_changed',
    status: 201,
    params: strict({ token: Type.String({ maxLength: 256 }), username: Username, password: Password }),
    result: User,
    secret: ['token', 'password'],
  },
  login: {
    does: 'Sign in; the second factor is a TOTP code or a recovery code',
    rest: 'POST /auth/login',
    can: 'anyone',
    audit: 'login',
    params: strict({
      username: Type.String({ minLength: 1, maxLength: 255 }),
      password: Type.String({ minLength: 1, maxLength: 1024 }),
      totp: Type.Optional(Code),
    }),
    result: SignedIn,
    secret: ['password', 'totp', 'token'],
  },
  deviceBegin: {
    does: 'Begin the sign-in of a device without a browser: a signed-in user confirms its code on the page (RFC 8628)',
    rest: 'POST /auth/device',
    can: 'anyone',
    audit: 'login',
    status: 201,
    params: strict({
      name: Type.String({ minLength: 1, maxLength: 64, pattern: '^[ -~]+$', examples: ['horcrux on web-1'] }),
    }),
    result: strict({
      device_code: Type.String({ description: 'Secret of the device, for POST /auth/device/token' }),
      user_code: Type.String({ description: 'For the user, who confirms it' }),
      page: Type.String({ description: 'Path of the page with the code' }),
      expires_at: Time,
      interval_seconds: Type.Integer({ description: 'Time between two reads of the state' }),
    }),
    secret: ['device_code'],
  },
  device: {
    does: 'Get the sign-in of a device by its code',
    rest: 'GET /auth/device/{user_code}',
    can: 'anyone',
    params: strict({ user_code: DeviceCode }),
    result: DeviceSignIn,
  },
  deviceConfirm: {
    does: 'Confirm or refuse the sign-in of a device: it gets a session of yours',
    rest: 'POST /auth/device/confirm',
    can: 'signed-in',
    audit: 'login',
    params: strict({
      user_code: DeviceCode,
      approve: Type.Boolean({ default: true, description: 'False: refuse it' }),
    }),
    result: DeviceSignIn,
  },
  deviceToken: {
    does: 'Get the session of a device whose sign-in was confirmed, once',
    rest: 'POST /auth/device/token',
    can: 'anyone',
    audit: 'login',
    params: strict({ device_code: Type.String({ minLength: 1, maxLength: 256 }) }),
    result: SignedIn,
    secret: ['device_code', 'token'],
  },
  logout: {
    does: 'Sign out: the session and its tokens end',
    rest: 'POST /auth/logout',
    can: 'signed-in',
    audit: 'logout',
    status: 204,
    params: None,
    result: Done,
  },
  refresh: {
    does: 'Get a new token by the session cookie',
    rest: 'POST /auth/refresh',
    can: 'signed-in',
    audit: 'secret_accessed',
    params: None,
    result: SignedIn,
    secret: ['token'],
  },
  password: {
    does: 'Change your own password; all other sessions end',
    rest: 'POST /auth/password',
    can: 'signed-in',
    audit: 'password_changed',
    status: 204,
    params: strict({ old_password: CurrentPassword, new_password: Password }),
    result: Done,
    secret: ['old_password', 'new_password'],
  },
  session: {
    does: 'Get the signed-in user, the session and the rights',
    rest: 'GET /auth/session',
    can: 'signed-in',
    params: None,
    result: strict({
      user: User,
      proof: CredentialRef,
      session: Type.Union([Session, Type.Null()]),
      rights: RightList,
    }),
  },
  sessions: {
    does: 'List your own sessions, or those of a user',
    rest: 'GET /auth/sessions',
    can: 'signed-in',
    params: strict({ ...ListQuery('user').properties, username: Type.Optional(Username) }),
    result: Page(Session),
  },
  endSession: {
    does: 'End a session',
    rest: 'DELETE /auth/sessions/{id}',
    can: 'signed-in',
    audit: 'logout',
    status: 204,
    params: strict({ id: Id }),
    result: Done,
  },
  wsTicket: {
    does: 'Get a ticket for one WebSocket connection within 30 seconds',
    rest: 'POST /auth/ws-ticket',
    can: 'signed-in',
    audit: 'secret_accessed',
    status: 201,
    params: None,
    result: strict({ ticket: Type.String(), expires_at: Time }),
    secret: ['ticket'],
  },
  totp: {
    does: 'Begin to set up a second factor; it is active after a code was confirmed',
    rest: 'POST /auth/totp',
    can: 'signed-in',
    audit: 'totp_changed',
    status: 201,
    params: strict({ password: CurrentPassword }),
    result: strict({
      secret: Type.String({ description: 'Base32, for typing in' }),
      uri: Type.String({ description: 'otpauth://, for a QR code' }),
    }),
    secret: ['password', 'secret', 'uri'],
  },
  totpConfirm: {
    does: 'Enable the second factor by its first code; the recovery codes are shown only once',
    rest: 'POST /auth/totp/confirm',
    can: 'signed-in',
    audit: 'totp_changed',
    params: strict({ code: Code }),
    result: strict({ recovery_codes: Type.Array(Type.String()) }),
    secret: ['code', 'recovery_codes'],
  },
  totpRemove: {
    does: 'Disable your own second factor',
    rest: 'DELETE /auth/totp',
    can: 'signed-in',
    audit: 'totp_changed',
    status: 204,
    params: strict({ password: CurrentPassword, code: Type.Optional(Code) }),
    result: Done,
    secret: ['password', 'code'],
  },
  rotateKeys: {
    does: 'Rotate the signing key; old tokens stay valid until they expire, or end at once',
    rest: 'POST /auth/rotate-keys',
    can: 'SysModify on /api/auth',
    audit: 'certificate_changed',
    params: strict({
      revoke: Type.Boolean({ default: false, description: 'True: tokens of the old keys end at once' }),
    }),
    result: strict({ kid: Type.String() }),
  },
})
