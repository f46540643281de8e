import { randomBytes } from 'node:crypto'
import { contracts } from '#shared/contracts/index.ts'
import type { Route } from '../../../services/gateway/rest/ask-service.ts'
import { routesOf } from '../../../services/gateway/rest/routes.ts'
import { type Answered, ask } from '../clients/http.ts'
import type { Canaries } from './canaries.ts'

type Asked = Parameters<typeof ask>[2]
type Told = { line: string; answer: Answered; may: ReadonlySet<string> }

/** Where all requests are made: it keeps every answer, and learns the secrets that answers may show. */
export type Recorder = {
  ask: (line: string, asked?: Asked) => Promise<Answered>
  answers: Told[]
  /** Secrets in answers that must not have them. */
  leaks: () => string[]
}

/** The routes of the actions that take or give a secret. */
export const secretRoutes = routesOf(contracts).filter(({ action }) => action.secret !== undefined)
const patterns = secretRoutes.map((route) => ({
  route,
  pattern: new RegExp(`^${route.method} /api${route.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
}))

/** The texts under these names, at any depth. */
function textsUnder(names: readonly string[], value: unknown, isNamed = false): string[] {
  if (typeof value === 'string') return isNamed ? [value] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    textsUnder(names, inner, Array.isArray(value) ? isNamed : names.includes(key)),
  )
}

/** The secret part of a shown secret: without the id of a key or ticket, and without a token's clear claims. */
const core = (text: string) => {
  if (text.startsWith('hx_')) return text.slice(text.indexOf('_', 3) + 1)
  return /[?&]secret=([A-Z2-7]+)/.exec(text)?.[1] ?? text.split('.').at(-1)!
}

/** Secrets that an answer may show: those of its action, and the cookie that is set. */
function secretsIn({ action }: Route, { body, headers }: Answered): string[] {
  const cookie = /horcrux_session=([^;]+)/.exec(headers['set-cookie'] ?? '')?.[1]
  return [...textsUnder(action.secret!, body).map(core), ...(cookie ? [decodeURIComponent(cookie)] : [])]
}

const newAddress = () => `127.${[...randomBytes(3)].map((byte) => (byte % 254) + 1).join('.')}`

export function createRecorder(url: () => string, canaries: Canaries): Recorder {
  const answers: Told[] = []
  const shown = new Map<string, ReadonlySet<string>>()
  return {
    answers,
    ask: async (line, asked = {}) => {
      // Each request comes from another address, so that wrong passwords do not slow down later requests.
      const answer = await ask(url(), line, { localAddress: newAddress(), ...asked })
      const name = `${line} ${asked.headers?.['idempotency-key'] ?? ''}`
      const { route } = patterns.find(({ pattern }) => pattern.test(line.split('?')[0]!)) ?? {}
      const isShown = route !== undefined && answer.status < 300
      const secrets = isShown ? secretsIn(route, answer) : []
      // Only a repetition may show the secret of the first answer again.
      const replayed = answer.headers['idempotency-replayed'] === 'true' ? shown.get(name) : undefined
      if (!replayed) for (const secret of secrets) canaries.learn(`what ${route!.name} gave`, secret)
      const may = replayed ?? new Set(secrets)
      if (isShown) shown.set(name, may)
      answers.push({ line, answer, may })
      return answer
    },
    leaks: () =>
      answers.flatMap(({ line, answer: { status, headers, text }, may }) =>
        canaries.leaksIn(`the answer ${status} to ${line.split('?')[0]}`, `${JSON.stringify(headers)}\n${text}`, may),
      ),
  }
}
