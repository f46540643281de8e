import { setTimeout as sleep } from 'node:timers/promises'
import type { Operation } from '#shared/contracts/core/operations.ts'

/** Error answer of the API. */
export class ApiError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.name = 'ApiError'
    this.status = status
  }
}

export type ApiClient = {
  get: <T>(path: string) => Promise<T>
  /** Sends a change, and waits for an operation. @returns the body, or the resource made by the operation */
  send: <T>(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: object) => Promise<T>
}

const running = new Set(['queued', 'running', 'cancelling'])

/** A client of the REST API. `token` is a JWT or an API key (`hx_…`). @throws ApiError from each call */
export function apiClient(url: string, token?: string): ApiClient {
  const credentials: Record<string, string> =
    token === undefined ? {} : token.startsWith('hx_') ? { 'x-api-key': token } : { authorization: `Bearer ${token}` }

  async function ask(method: string, path: string, body?: object): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${url}/api${path}`, {
      method,
      headers: { ...credentials, prefer: 'wait=60', ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    }).catch((error: Error) => {
      throw new ApiError(0, `${url} does not answer: ${String(error.cause ?? error.message)}`)
    })
    const text = await response.text()
    const answer = text === '' ? null : (JSON.parse(text) as { message?: string })
    if (!response.ok)
      throw new ApiError(response.status, `${method} /api${path}: ${answer?.message ?? response.status}`)
    return { status: response.status, body: answer }
  }

  return {
    // The contract of the route defines the type; the caller names it.
    get: async <T>(path: string) => (await ask('GET', path)).body as T,
    async send<T>(method: string, path: string, body?: object) {
      const answer = await ask(method, path, body)
      if (!isOperation(answer.body)) return answer.body as T
      let operation = answer.body
      while (running.has(operation.state)) {
        await sleep(100)
        operation = (await ask('GET', `/operations/${operation.id}/wait?timeout=30`)).body as Operation
      }
      if (operation.state !== 'succeeded')
        throw new ApiError(
          0,
          `${operation.kind} has ${operation.state}: ${operation.error?.message ?? operation.stage}`,
        )
      return operation.result as T
    },
  }
}

function isOperation(body: unknown): body is Operation {
  return typeof body === 'object' && body !== null && 'kind' in body && 'steps' in body && 'state' in body
}
