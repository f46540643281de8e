import { config, ConfigError } from '#shared/config/config.ts'
import { AuthenticationError, ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { idFrom } from '#shared/ids.ts'
import { log } from '#shared/runtime/log.ts'
import { grants, setups, type StoredUser, users } from '../models.ts'
import { newSecret, sha256 } from '../credentials/opaque-secret.ts'
import { passwordViolations } from './password-rules.ts'
import { hashPassword } from './passwords.ts'
import { changePolicy } from '../policy/store.ts'

const id = 'setup'
const lifeMs = 3_600_000

let issued: string | undefined

/** The set-up token issued by this process, to be shown at its start; undefined if there are users. */
export const issuedSetupToken = () => issued

/**
 * Prepares the first sign-in if there is no user: makes `admin` if a password for it is configured, else issues a
 * set-up token.
 */
export async function prepareFirstStart(): Promise<void> {
  if ((await users.all()).length > 0) return
  const { adminPassword } = config()
  if (adminPassword !== undefined) return makeConfiguredAdmin(adminPassword)
  issued = await issueSetupToken()
  log('auth').warn(`There is no user yet. Set-up token, valid once and for an hour: ${issued}`)
}

/** Checks the configured password of `admin` against the password rules. @throws ConfigError */
export function checkAdminPassword(password: string): void {
  const mistakes = passwordViolations(password, 'admin').map(({ message }) => `HORCRUX_ADMIN_PASSWORD: ${message}`)
  if (mistakes.length > 0) throw new ConfigError(mistakes)
}

async function makeConfiguredAdmin(password: string): Promise<void> {
  checkAdminPassword(password)
  try {
    await makeAdministrator('admin', password)
    log('auth').info("The user 'admin' was made with the configured password")
  } catch (error) {
    // Another replica was faster.
    if (!(error instanceof ConflictError)) throw error
  }
}

/** Issues a new set-up token; older ones become invalid. Only its hash is stored. */
export async function issueSetupToken(): Promise<string> {
  const token = newSecret()
  const record = { token_hash: sha256(token), expires_at: new Date(Date.now() + lifeMs).toISOString() }
  const replaced = await setups.updateWhere({ _id: id }, { set: record })
  if (replaced) return token
  try {
    await setups.insert({ id, ...record })
    return token
  } catch (error) {
    // Another replica was faster; the last token counts.
    if (error instanceof ConflictError) return issueSetupToken()
    throw error
  }
}

/** Redeems the set-up token. @throws AuthenticationError if it is not the current one */
export async function useSetupToken(token: string): Promise<void> {
  const used = await setups.removeWhere({ _id: id, token_hash: sha256(token), expires_at: { $gt: now() } })
  if (used === 0)
    throw new AuthenticationError(
      'The set-up token is wrong, used or expired; while there is no user, a restart of the auth service prints a new one',
    )
  issued = undefined
}

/** Makes a user with all rights. */
export async function makeAdministrator(username: string, password: string): Promise<StoredUser> {
  const time = now()
  const password_hash = await hashPassword(password)
  return changePolicy(async () => {
    await grants.insert({
      id: idFrom(`grant/administrator/${username}`),
      subject: { kind: 'user', id: username },
      role: 'Administrator',
      path: '/',
      created_at: time,
      created_by: 'system',
    })
    return users.insert({
      id: username,
      full_name: null,
      email: null,
      enabled: true,
      password_hash,
      totp: null,
      last_login_at: null,
      created_at: time,
      updated_at: time,
    })
  }, username)
}
