import { setTimeout as delay } from 'node:timers/promises'
import type { Action, Contract } from '#shared/contract/contract.ts'
import { fillPath } from '#shared/contract/contract.ts'
import { contracts } from '#shared/contracts/index.ts'
import type { Answered } from '../clients/http.ts'
import type { Separate } from './separate.ts'

/** The contract and the action of a name such as `vms.create`. */
export function actionOf(name: string): { contract: Contract; key: string; action: Action } {
  const [service, key] = name.split('.') as [string, string]
  const contract = contracts.find((one) => one.name === service)!
  return { contract, key, action: contract.actions[key]! }
}

/** A request as a client sends it, with the body or the query that the parameters make; in admin's name without a token. */
export type Request = { line: string; json?: unknown; token?: string }

/** The request of an action with a route. */
export function requestOf(name: string, params: Record<string, unknown>): Request {
  const { rest } = actionOf(name).action
  const [method, route] = rest!.split(' ') as [string, string]
  const left = Object.entries(params).filter(([field]) => !route.includes(`{${field}}`))
  const line = `${method} /api${fillPath(route, params)}`
  if (method !== 'DELETE') return { line, json: Object.fromEntries(left) }
  const query = new URLSearchParams(left.map(([field, value]): [string, string] => [field, String(value)])).toString()
  return { line: query ? `${line}?${query}` : line }
}

/** The connection broke. */
const cut = { status: 0, headers: {}, body: {}, text: '' }

/**
 * Sends a change as a careful client does: with one key, at another gateway after each answer that does not tell the outcome,
 * until it is told. @param limitMs gives up then
 * @returns the last answer, and all of them
 */
export async function insist(
  { ask, deployment }: Pick<Separate, 'ask' | 'deployment'>,
  { line, json, token }: Request,
  key: string,
  limitMs = 90_000,
): Promise<{ last: Answered; all: Answered[] }> {
  const all: Answered[] = []
  const end = performance.now() + limitMs
  for (let turn = 0; ; turn++) {
    const headers = { 'idempotency-key': key }
    const gateway = turn % deployment.gateways.length
    const last = await withLimit(ask(line, { json, headers, ...(token !== undefined && { token }) }, gateway))
    all.push(last)
    const isOpen = last.status === 0 || last.status === 503 || (last.status === 409 && last.body['retryable'] === true)
    if (!isOpen || performance.now() > end) return { last, all }
    await delay(200)
  }
}

/** A stopped gateway takes the request and never answers: a client gives up and goes to another one. */
async function withLimit(asking: Promise<Answered>): Promise<Answered> {
  const timer = new AbortController()
  const late = delay(8000, cut, { signal: timer.signal }).catch(() => cut)
  const answer = await Promise.race([asking.catch(() => cut), late])
  timer.abort()
  return answer
}
