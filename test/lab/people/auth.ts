import type { ServiceBroker } from 'moleculer'
import type { Caller } from '#shared/access/access.ts'
import type { Contract, Params, Result } from '#shared/contract/contract.ts'
import { auth, type Identity } from '#shared/contracts/access/auth.ts'
import { authService } from '../../../services/auth/service.ts'
import { startHorcrux, type TestHorcrux } from '../product/horcrux.ts'

export const address = '192.0.2.1'
export const anonymous: Caller = { kind: 'anonymous', address }
export const admin = { username: 'admin', password: 'Sonnenblume-7' }

/** A signed-in user: credentials, and calls in the user's name. */
export type Person = Awaited<ReturnType<typeof signIn>>

export const callerOf = ({ user, rights, credential }: Identity): Caller => ({
  kind: 'user',
  user,
  rights,
  credential,
  address,
})

/** Signs in and calls as the gateway would: the identity is looked up for each call. */
export async function signIn(horcrux: TestHorcrux, username: string, password: string, totp?: string) {
  const params = { username, password, ...(totp !== undefined && { totp }) }
  const meta: Parameters<TestHorcrux['call']>[3] = { caller: anonymous, meta: {} }
  const { token, user, expires_at } = await horcrux.call(auth, 'login', params, meta)
  const cookie = meta.meta?.cookie?.value ?? ''
  return { ...actAs(horcrux, 'token', token), token, cookie, profile: user, expires_at }
}

/** Makes calls in the name of the credential's user. */
export function actAs(horcrux: TestHorcrux, by: 'session' | 'token' | 'api_key', credential: string) {
  const identity = () => horcrux.call(auth, 'identify', { by, credential, address })
  const call = async <C extends Contract, K extends keyof C['actions'] & string>(
    contract: C,
    action: K,
    params: Params<C, K> | Record<string, unknown>,
  ): Promise<Result<C, K>> => horcrux.call(contract, action, params, { caller: callerOf(await identity()) })
  return { identity, call }
}

/** Asks one given replica for the user of a credential. */
export const identifyAt = (broker: ServiceBroker, nodeID: string, by: string, credential: string) =>
  broker.call<Identity, object>(
    'auth.identify',
    { by, credential, address },
    { nodeID, meta: { caller: { kind: 'service', name: 'test' } } },
  )

/** The auth service in two processes, and its first administrator. */
export async function startTwice() {
  const horcrux = await startHorcrux({ services: [authService], config: { adminPassword: admin.password } })
  const replica = await horcrux.startReplica('auth')
  return { horcrux, replica, root: await signIn(horcrux, admin.username, admin.password) }
}
