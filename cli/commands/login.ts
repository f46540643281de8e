import { setTimeout as sleep } from 'node:timers/promises'
import { localUrl } from '../contexts/local.ts'
import { environment } from '../environment.ts'
import { canAsk, confirm, prompt } from '../contexts/prompt.ts'
import { keepContext, readContexts, targetOf, urlOf } from '../contexts/store.ts'
import { givenSecret, secretOf } from '../arguments/secrets.ts'
import { type Flag, parse, type Parsed, textOf, withGlobals, isSet } from '../arguments/parse.ts'
import { CommandError, exitCodes, usageError } from '../errors.ts'
import { type Answer, ask, open } from '../http/request.ts'
import type { Credential, Target } from '../http/target.ts'
import { isDistrusted, shownCertificate } from '../http/tls.ts'
import { note, write } from '../output/print.ts'

const secret = (name: string): Record<string, Flag> => ({
  [name]: { isSecret: true },
  [`${name}-file`]: { value: 'FILE', does: `Read the ${name.replaceAll('-', ' ')} from a file` },
  [`${name}-stdin`]: { isBoolean: true, does: `Read the ${name.replaceAll('-', ' ')} from standard input` },
})

const shared: Record<string, Flag> = {
  name: { value: 'NAME', does: 'Name of the context; the host of the address unless given' },
  fingerprint: { value: 'SHA256', does: 'Accept the self-signed certificate with this fingerprint' },
}

export const loginFlags: Record<string, Flag> = {
  ...shared,
  user: { short: 'u', value: 'USER', does: 'Name of the user; asked for unless given' },
  ...secret('password'),
  ...secret('totp'),
  ...secret('token'),
  device: { isBoolean: true, does: 'Confirm the sign-in on the web page of any browser, in place of a password here' },
  keep: { value: 'DAYS', does: 'Make an API key for so many days, and use it in place of a session of an hour' },
}

export const setupFlags: Record<string, Flag> = {
  ...shared,
  user: { short: 'u', value: 'USER', does: 'Name of the first user; admin unless given' },
  ...secret('setup-token'),
  ...secret('password'),
}

/** `horcrux login [URL]`: signs in and keeps the session, or an API key, in a context. */
export async function login(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals(loginFlags), 'horcrux login')
  const { target, name } = await place(parsed)
  const token = givenSecret(parsed, 'token')
  const credential: Credential =
    token !== undefined
      ? { kind: 'token', value: token }
      : isSet(parsed, 'device')
        ? await signInByPage(target)
        : await signIn(target, parsed)
  await keep(name, { ...target, credential }, textOf(parsed, 'keep'))
  return exitCodes.done
}

/** `horcrux setup [URL]`: makes the first user with the set-up token of the first start, and signs in. */
export async function setup(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals(setupFlags), 'horcrux setup')
  const { target, name } = await place(parsed)
  const token = await secretOf(parsed, 'setup-token', { label: 'set-up token, or the link that npm start prints' })
  const username = textOf(parsed, 'user') ?? 'admin'
  const password = await secretOf(parsed, 'password', { label: `new password of ${username}`, isNew: true })
  await ask(target, {
    method: 'POST',
    path: '/auth/setup',
    body: { token: token.trim().split('#setup=').at(-1), username, password },
  })
  const credential = sessionOf(await ask(target, { method: 'POST', path: '/auth/login', body: { username, password } }))
  await keep(name, { ...target, credential }, undefined)
  return exitCodes.done
}

/** The server to sign in to, with its certificate if it is self-signed and was accepted. */
async function place(parsed: Parsed): Promise<{ target: Target; name: string }> {
  const [given, ...more] = parsed.positionals
  if (more.length > 0) throw usageError(`'${more.join(' ')}' is one argument too many`, 'horcrux login URL')
  const named = { context: textOf(parsed, 'context'), url: given ?? textOf(parsed, 'url') }
  const known = (await unlessStale(named)) ?? targetOf(named)
  const url = await answering(given === undefined ? known.url : urlOf(given), given)
  const context = Object.entries(readContexts().contexts).find(([, one]) => one.url === url)
  const name =
    textOf(parsed, 'name') ?? known.context ?? context?.[0] ?? new URL(url).host.replace(/^127\.0\.0\.1/, 'local')
  const target: Target = { url, ...(known.certificate !== undefined && { certificate: known.certificate }) }
  return { target: await trusted(target, textOf(parsed, 'fingerprint')), name }
}

/**
 * The Horcrux that runs here, when nobody has named a server and that of the current context does not listen any more:
 * such as one of a demo that has ended.
 */
async function unlessStale({ context, url }: Parameters<typeof targetOf>[0]): Promise<Target | undefined> {
  const isNamed = [context, url, environment.url(), environment.context()].some((given) => given !== undefined)
  const here = isNamed ? undefined : localUrl()
  const current = targetOf({})
  if (here === undefined || current.context === undefined || current.url === here) return undefined
  if (await isListening(current)) {
    note(
      `This is the current context, ${current.context} at ${current.url}. Another Horcrux runs here: horcrux login ${here}`,
    )
    return undefined
  }
  note(`Nothing answers at ${current.url}, the current context ${current.context}: this is the Horcrux that runs here.`)
  return targetOf({ url: here })
}

/** An answer with an error, and a certificate that is not trusted, are answers too. */
const isListening = (target: Target) =>
  open(target, { path: '/openapi.json', method: 'HEAD', timeoutMs: 3000 }).then(
    (message) => Boolean(message.destroy()),
    (error: unknown) => isDistrusted(error),
  )

/** An address without a scheme is tried with TLS first; without TLS only on this machine. */
async function answering(url: string, given: string | undefined): Promise<string> {
  const isLoopback = ['localhost', '127.0.0.1', '[::1]'].includes(new URL(url).hostname)
  if (given === undefined || /^https?:/.test(given) || !isLoopback) return url
  const plain = url.replace(/^https:/, 'http:')
  return ask({ url: plain }, { path: '/openapi.json', method: 'GET', timeoutMs: 3000 }).then(
    () => plain,
    () => url,
  )
}

/** Asks about a self-signed certificate at its first use, and pins it. @throws CommandError */
async function trusted(target: Target, expected: string | undefined): Promise<Target> {
  if (!target.url.startsWith('https:')) return target
  try {
    await ask(target, { path: '/auth/session', timeoutMs: 10_000 })
    return target
  } catch (error) {
    if (!isDistrusted((error as Error).cause)) return target
  }
  const { pem, fingerprint } = await shownCertificate(target.url)
  const plain = (text: string) => text.replaceAll(/[^0-9a-f]/gi, '').toLowerCase()
  if (expected !== undefined) {
    if (plain(expected) === plain(fingerprint)) return { ...target, certificate: pem }
    throw new CommandError(`${target.url} shows a certificate with another fingerprint: ${fingerprint}`, {
      code: exitCodes.unreachable,
    })
  }
  note(
    `${target.url} shows ${target.certificate ? 'ANOTHER certificate than the accepted one' : 'a certificate that this machine does not trust'}.`,
  )
  note(`SHA-256 fingerprint: ${fingerprint}`)
  note(
    'Compare it with the one that the server prints at its start, or with: openssl x509 -noout -fingerprint -sha256 -in tls/cert.pem',
  )
  if (
    !(await confirm('Trust this certificate from now on?', `horcrux login ${target.url} --fingerprint ${fingerprint}`))
  )
    throw new CommandError('not signed in', { code: exitCodes.unreachable })
  return { ...target, certificate: pem }
}

async function signIn(target: Target, parsed: Parsed): Promise<Credential> {
  const username = textOf(parsed, 'user') ?? (await prompt('user: ', { instead: 'give --user' }))
  const password = await secretOf(parsed, 'password')
  const body = { username, password }
  const totp = givenSecret(parsed, 'totp')
  try {
    return sessionOf(
      await ask(target, { method: 'POST', path: '/auth/login', body: { ...body, ...(totp && { totp }) } }),
    )
  } catch (error) {
    const needsCode =
      error instanceof CommandError && error.code === exitCodes.signIn && /second factor|totp/i.test(error.message)
    if (!needsCode || totp !== undefined || !canAsk()) throw error
    const code = await prompt('code of the second factor: ', { instead: 'give --totp-stdin' })
    return sessionOf(await ask(target, { method: 'POST', path: '/auth/login', body: { ...body, totp: code } }))
  }
}

type Begun = { device_code: string; user_code: string; page: string; expires_at: string; interval_seconds: number }

/** Shows a code, waits until somebody who is signed in on the page has confirmed it, and takes the session. */
async function signInByPage(target: Target): Promise<Credential> {
  const { hostname } = await import('node:os')
  const name = `horcrux on ${hostname()}`.replaceAll(/[^ -~]/g, '-').slice(0, 64)
  const begun = await ask<Begun>(target, { method: 'POST', path: '/auth/device', body: { name } })
  const { device_code, user_code, page, expires_at, interval_seconds } = begun.body
  note(`Open ${target.url}${page}`)
  note(`and confirm the code ${user_code}. Waiting until ${new Date(expires_at).toLocaleTimeString()} …`)
  for (;;) {
    const { body } = await ask<{ state: string }>(target, { path: `/auth/device/${user_code}` })
    if (body.state === 'denied')
      throw new CommandError('the sign-in was refused on the page', { code: exitCodes.signIn })
    if (body.state === 'approved') break
    await sleep(interval_seconds * 1000)
  }
  return sessionOf(await ask(target, { method: 'POST', path: '/auth/device/token', body: { device_code } }))
}

/** The session cookie lives longer than the token: a day, or an hour without use. */
function sessionOf({ headers, body }: Answer): Credential {
  const cookies = (headers['set-cookie'] ?? []).join('\n')
  const value = /^horcrux_session=([^;]+)/m.exec(cookies)?.[1]
  return value ? { kind: 'session', value } : { kind: 'token', value: (body as { token: string }).token }
}

async function keep(name: string, target: Target, days: string | undefined): Promise<void> {
  const { body } = await ask<{ user: { username: string } }>(target, { path: '/auth/session' })
  const { username } = body.user
  const credential = days === undefined ? target.credential! : await apiKey(target, username, Number(days))
  const { url, certificate } = target
  keepContext(name, { url, user: username, credential, ...(certificate !== undefined && { certificate }) })
  await write(`signed in as ${username} at ${url} (context '${name}')\n`)
}

async function apiKey(target: Target, username: string, days: number): Promise<Credential> {
  if (!Number.isInteger(days) || days < 1) throw usageError('--keep must be a number of days')
  const { hostname } = await import('node:os')
  const body = {
    name: `horcrux on ${hostname()}`.replaceAll(/[^A-Za-z0-9 _.-]/g, '-').slice(0, 64),
    expires_in_days: days,
  }
  const made = await ask<{ key: string }>(target, {
    method: 'POST',
    path: `/users/${encodeURIComponent(username)}/api-keys`,
    body,
  })
  return { kind: 'token', value: made.body.key }
}

/** `horcrux logout`: ends the session and forgets the context's credential. */
export async function logout(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals({}), 'horcrux logout')
  const target = targetOf({ context: textOf(parsed, 'context'), url: textOf(parsed, 'url') })
  if (target.credential?.kind === 'session')
    await ask(target, { method: 'POST', path: '/auth/logout' }).catch((error: unknown) => {
      if (!(error instanceof CommandError) || error.code !== exitCodes.signIn) throw error
    })
  if (target.context) {
    const { credential: _, ...rest } = readContexts().contexts[target.context]!
    keepContext(target.context, rest)
  }
  if (!isSet(parsed, 'quiet')) await write(`signed out of ${target.url}\n`)
  return exitCodes.done
}
