import type { FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { asService, type Rights } from '#shared/access/access.ts'
import type { Action } from '#shared/contract/contract.ts'
import { within } from '#shared/runtime/request-context.ts'
import { authorize } from '#shared/service/implement.ts'
import { rightsOf } from '#shared/service/rights.ts'
import { type Gate, identifyAgain } from '../admission/admit.ts'

const againEveryMs = 1000

/**
 * Makes the check of credential and rights of an answer that takes long: again, at most once a second.
 * @param more checks what the action needs beside its own right
 */
export function stillMay(
  { broker, gate }: { broker: ServiceBroker; gate: Gate },
  request: FastifyRequest,
  action: Action,
  params: Record<string, unknown>,
  more?: (rights: Rights) => void,
): () => Promise<void> {
  let askedAt = performance.now()
  return async () => {
    if (performance.now() - askedAt < againEveryMs) return
    await identifyAgain(request, gate.identify)
    const { caller, id: requestId } = request
    const rights = await within({ broker, service: 'gateway', caller: asService('gateway'), requestId }, () =>
      rightsOf(caller),
    )
    authorize(action, params, caller, rights)
    more?.(rights)
    askedAt = performance.now()
  }
}
