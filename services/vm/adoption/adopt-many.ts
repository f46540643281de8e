import { requireRight } from '#shared/access/require-right.ts'
import type { BulkResult } from '#shared/contracts/bulk.ts'
import { type AdoptionPlan, vmAdoptions } from '#shared/contracts/vm/vm-adoptions.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { endedOf } from '#shared/service/bulk.ts'
import { implement } from '#shared/service/implement.ts'
import { planned, requirePlan } from '#shared/service/plan.ts'
import { decide, type Given, type Refused, type Wanted } from './judge.ts'
import { unmanaged } from './unmanaged.ts'

type Input = { given: Given; wanted: Wanted[] }

/** The guests that are asked for; all that are not managed, when none are named. */
async function wantedOf({ id, domains }: Given): Promise<Wanted[]> {
  return domains ?? (await unmanaged({ id })).data.map(({ uuid }) => ({ domain: uuid }))
}

function requirePool({ resource_pool }: Given, asking: Call): void {
  if (resource_pool !== undefined) requireRight(asking, 'VmAllocate', `/api/resource-pools/${resource_pool}`)
}

async function planOf(given: Given, asking: Call): Promise<AdoptionPlan> {
  requirePool(given, asking)
  const { id: node, resource_pool = null } = given
  const decided = await decide(given, await wantedOf(given), asking)
  const effects = decided.adopts.map(({ status: _, notes: _n, ...each }) => each)
  return planned({ node, resource_pool, ...decided }, { node, resource_pool, effects })
}

/** The guests to adopt: with `If-Plan` exactly those of the plan. */
async function acceptedOf(given: Given, accepting: Call): Promise<Wanted[]> {
  if (requestContext()?.ifPlan === undefined) return wantedOf(given)
  const plan = await planOf(given, accepting)
  requirePlan(plan)
  return plan.adopts.map(({ uuid: domain, id, name }) => ({ domain, name, ...(id !== null && { id }) }))
}

const adoptMany = {
  ...operation({
    accept: async (given: Given, accepting): Promise<Input> => {
      requirePool(given, accepting)
      const wanted = await acceptedOf(given, accepting)
      if (wanted.length === 0) throw new ConflictError(`Node '${given.id}' has no guest that Horcrux does not manage`)
      // An operation that is tried again adopts under the same ids.
      return { given, wanted: wanted.map((each) => ({ ...each, id: each.id ?? newId() })) }
    },
    run: async (op: Op, { given, wanted }): Promise<BulkResult> => {
      const { adopts, refused } = await op.step('reading guests', () => decide(given, wanted, null))
      const { id: node, resource_pool } = given
      const each = adopts.map(({ uuid, id, name }) => {
        return { node, domain: uuid, id: id!, name, ...(resource_pool !== undefined && { resource_pool }) }
      })
      const left = refused.map(leftOf)
      if (each.length === 0) throw new ConflictError(noneOf(node, left), { details: { refused: left } })
      const outcomes = await op.children(vms, 'adopt', each)
      return { ...endedOf(each, outcomes), skipped: [], refused: left }
    },
  }),
  plan: planOf,
}

const leftOf = ({ uuid, name, reasons }: Refused): BulkResult['refused'][number] => {
  return { id: uuid, name, error: 'VALIDATION_ERROR', message: reasons.map(({ message }) => message).join('; ') }
}

/** The first few reasons. */
function noneOf(node: string, left: BulkResult['refused']): string {
  const told = left.slice(0, 5).map(({ name, message }) => `${name}: ${message}`)
  return `No guest of node '${node}' can be adopted: ${told.join('; ')}${left.length > 5 ? ' …' : ''}`
}

export const vmAdoptionService = implement(vmAdoptions, { run: adoptMany })
