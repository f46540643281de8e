import { randomInt } from 'node:crypto'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { auth, SignedIn } from '#shared/contracts/access/auth.ts'
import { findAndRemove } from '#shared/db/guarded.ts'
import { AuthenticationError, ConflictError, notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { refuseApiKey, userOf } from '../accounts/account-access.ts'
import { newSecret, sha256 } from '../credentials/opaque-secret.ts'
import { beginSession } from '../credentials/sessions.ts'
import { deviceSignIns, type StoredDeviceSignIn, users } from '../models.ts'
import { signedIn } from './login.ts'

const lifeMs = 10 * 60_000
const intervalSeconds = 2
/** Consonants that are not mistaken for one another: RFC 8628, section 6.1. */
const letters = 'BCDFGHJKLMNPQRSTVWXZ'

const newCode = () => Array.from({ length: 8 }, () => letters[randomInt(letters.length)]).join('')
const shown = (id: string) => `${id.slice(0, 4)}-${id.slice(4)}`
const idOf = (code: string) => code.replace('-', '').toUpperCase()

const viewOf = ({ id, name, address, state, created_at, expires_at }: StoredDeviceSignIn) => ({
  user_code: shown(id),
  name,
  address,
  state,
  created_at,
  expires_at,
})

/** Begins the sign-in of a device. Of its secret only the hash is stored. */
export async function beginDevice(
  { name }: Params<typeof auth, 'deviceBegin'>,
  call: Call,
): Promise<Result<typeof auth, 'deviceBegin'>> {
  const device_code = newSecret()
  const { id, expires_at } = await deviceSignIns.insert({
    id: newCode(),
    device_hash: sha256(device_code),
    name,
    address: call.caller.address ?? null,
    state: 'pending',
    user: null,
    created_at: now(),
    expires_at: new Date(Date.now() + lifeMs).toISOString(),
  })
  return {
    device_code,
    user_code: shown(id),
    page: `/device?code=${shown(id)}`,
    expires_at,
    interval_seconds: intervalSeconds,
  }
}

/** @throws NotFoundError also after its time */
export async function deviceByCode({ user_code }: { user_code: string }): Promise<Result<typeof auth, 'device'>> {
  const found = await deviceSignIns.get(idOf(user_code))
  if (!found || found.expires_at <= now()) throw notFound('Sign-in of a device', user_code)
  return viewOf(found)
}

/** Confirms or refuses the sign-in of a device, once. @throws ConflictError when it was decided before */
export async function confirmDevice(
  { user_code, approve }: Params<typeof auth, 'deviceConfirm'>,
  call: Call,
): Promise<Result<typeof auth, 'deviceConfirm'>> {
  refuseApiKey(call, 'Confirming the sign-in of a device')
  const { user } = userOf(call)
  const state = approve ? 'approved' : 'denied'
  await deviceByCode({ user_code })
  const open = { _id: idOf(user_code), state: 'pending' as const, expires_at: { $gt: now() } }
  const decided = await deviceSignIns.updateWhere(open, { set: { state, user } })
  if (decided) return viewOf(decided)
  const { state: is } = await deviceByCode({ user_code })
  throw new ConflictError(`The sign-in of the device is ${is} already; begin another one at the device`)
}

/** Begins the session of a device whose sign-in was confirmed, once. @throws AuthenticationError */
export async function signInDevice({ device_code }: Params<typeof auth, 'deviceToken'>, call: Call): Promise<SignedIn> {
  const confirmed = { device_hash: sha256(device_code), state: 'approved', expires_at: { $gt: now() } }
  const found = await findAndRemove<StoredDeviceSignIn>(deviceSignIns.model, confirmed)
  const user = found?.user ? await users.get(found.user) : null
  if (!user?.enabled)
    throw new AuthenticationError('The sign-in of the device is not confirmed, was refused or used, or is too old')
  call.record.user = user.id
  const session = await beginSession(user.id, call.caller.address ?? 'unknown')
  call.reply.cookie = { value: session.cookie, expires_at: session.expires_at }
  return signedIn(user, session)
}

export const sweepDevices = () => deviceSignIns.removeWhere({ expires_at: { $lt: now() } })
