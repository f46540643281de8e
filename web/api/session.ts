import { signal } from '@preact/signals'
import { call, onExpired } from './client.ts'
import type { ActionName, ResultOf } from './contracts.ts'
import { asRefusal } from './refusal.ts'
import { allows } from './covers.ts'
import { neededFor } from './rights.ts'

type Session = ResultOf<'auth.session'>
type State =
  | { is: 'unknown' }
  | { is: 'out' }
  | { is: 'unreachable' }
  /** `expired`: the page stays, below a sign-in dialog. */
  | { is: 'in' | 'expired'; session: Session }

export const session = signal<State>({ is: 'unknown' })
const channel = new BroadcastChannel('horcrux-session')
let waiting: PromiseWithResolvers<void> | undefined

/** Reads the session of the cookie. Used at the start, after a sign-in, and when rights may have changed. */
export async function readSession(): Promise<void> {
  try {
    const { data } = await call('auth.session', {})
    session.value = { is: 'in', session: data }
    waiting?.resolve()
    waiting = undefined
  } catch (error) {
    const { status } = asRefusal(error)
    // A page that is in use stays; the banner tells that the server does not answer.
    if (status === 401) session.value = { is: 'out' }
    else if (!('session' in session.peek())) session.value = { is: 'unreachable' }
  }
}

/** Signs in, here and in the other tabs. @throws Refusal: 401 for wrong credentials or a missing second factor */
export async function signIn(params: { username: string; password: string; totp?: string | undefined }): Promise<void> {
  await call('auth.login', params)
  await readSession()
  channel.postMessage('in')
}

export async function signOut(): Promise<void> {
  await call('auth.logout', {})
  channel.postMessage('out')
  location.assign('/')
}

channel.addEventListener('message', ({ data }) => {
  if (data === 'in') void readSession()
  else location.assign('/')
})

/** A request found the session gone: the dialog asks for a sign-in, and the request goes on after it. */
onExpired(() => {
  const now = session.value
  if (now.is !== 'in' && now.is !== 'expired') return undefined
  if (now.is === 'in') session.value = { is: 'expired', session: now.session }
  waiting ??= Promise.withResolvers<void>()
  return waiting.promise
})

export const userName = (): string => ('session' in session.value ? session.value.session.user.username : '')

/** True if the caller may do this, as far as the rights of the session tell; the server decides again. */
export function may(name: ActionName, params: Record<string, unknown> = {}): boolean {
  if (!('session' in session.value)) return false
  const needed = neededFor(name, params)
  return !needed || allows(session.value.session.rights, needed.privilege, needed.path)
}

/** True if the caller has this privilege on some path: a menu item is shown, and its list is filtered by the server. */
export function mayAnywhere(name: ActionName): boolean {
  if (!('session' in session.value)) return false
  const needed = neededFor(name, {})
  return (
    !needed ||
    session.value.session.rights.some(({ privileges }) => (privileges as readonly string[]).includes(needed.privilege))
  )
}
