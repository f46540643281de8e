import type { Caller, MaySee, Rights } from '#shared/access/access.ts'
import type { Action, Contract } from '#shared/contract/contract.ts'
import { check } from '#shared/contract/validate.ts'
import { type BulkPlan, type BulkResult, mostInBulk } from '#shared/contracts/bulk.ts'
import type { SearchQuery } from '#shared/contracts/common.ts'
import { ConflictError, invalid, ValidationError } from '#shared/errors.ts'
import type { Op, OperationHandler, Outcome } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { maySeeOf } from '#shared/service/may-see.ts'
import { type ItemVerb, itemVerbsOf, refusalOf } from '#shared/service/item-verbs.ts'
import { planned, requirePlan } from '#shared/service/plan.ts'

type Item = { id: string; name: string }
type Params = { action: string; ids?: string[]; q?: string; params: Record<string, unknown> }
type Input = { action: string; params: Record<string, unknown> } & Pick<BulkPlan, 'does' | 'skipped' | 'refused'>
type Asking = { caller: Caller; rights: Rights }

type Resource = {
  /** Its `list` says who sees an item, its actions who may do what with it, and in which states. */
  contract: Contract
  /** The word for one of them, such as "Virtual machine". */
  kind: string
  /** The views of the records with these ids, as far as they exist. */
  find: (ids: string[]) => Promise<Item[]>
  search: (query: SearchQuery, maySee: MaySee) => Promise<{ data: Item[]; total: number }>
  /** Starts the operation of an action for each item. They need no right beside that of their contract. */
  ways: Record<string, (op: Op, each: never) => Promise<Outcome[]>>
}

/** The operation that does one action with many items of a list, and its plan. */
export function bulkOf(resource: Resource) {
  const { contract, ways } = resource
  const verbs = itemVerbsOf(contract, contract.actions['list']!)
  const plan = async (params: Params, { rights }: Asking): Promise<BulkPlan> => {
    const verb = verbs.find((each) => each.verb === params.action)!
    requireParams(verb, params)
    const { found, unknown } = await itemsOf(resource, params, rights)
    const refusals = found.map((item) => ({ item, why: refusalOf(verb, item, {}, rights) }))
    const left = (error: string) =>
      refusals.flatMap(({ item: { id, name }, why }) => (why?.error === error ? [{ id, name, ...why }] : []))
    const told = {
      action: params.action,
      does: refusals.flatMap(({ item: { id, name }, why }) => (why ? [] : [{ id, name }])),
      skipped: left('CONFLICT'),
      refused: [...left('FORBIDDEN'), ...unknown],
    }
    return planned(told, { action: params.action, params: params.params, does: told.does.map(({ id }) => id) })
  }
  return {
    plan,
    accept: async (params: Params, asking: Call): Promise<Input> => {
      const made = await plan(params, asking)
      requirePlan(made)
      const { action, does, skipped, refused } = made
      if (does.length === 0)
        throw new ConflictError(`There is nothing to ${action}: ${reasonsOf([...skipped, ...refused])}`, {
          details: { plan: made },
        })
      return { action, params: params.params, does, skipped, refused }
    },
    run: async (op: Op, { action, params, does, skipped, refused }: Input): Promise<BulkResult> => {
      const each = does.map(({ id }) => ({ ...params, id }))
      // The parameters were checked by the schema of the action.
      const outcomes = await ways[action]!(op, each as never)
      return { ...endedOf(does, outcomes), skipped, refused }
    },
  } satisfies OperationHandler<Params, BulkResult>
}

/** The items by the end of their operations. */
export function endedOf(items: Item[], outcomes: Outcome[]): Pick<BulkResult, 'done' | 'failed'> {
  const ended = items.map((item, index) => ({ ...item, ...outcomes[index]! }))
  return {
    done: ended.flatMap(({ id, failure }) => (failure ? [] : [id])),
    failed: ended.flatMap(({ id, name, operation_id, failure }) =>
      failure ? [{ id, name, operation_id, ...failure }] : [],
    ),
  }
}

/** @throws ValidationError when the further parameters are none of the action's */
function requireParams({ key, action }: ItemVerb, { ids, q, params }: Params): void {
  if ((ids === undefined) === (q === undefined)) throw invalid('ids', 'either ids or q must be given', 'required')
  if (key in params) throw invalid(`params.${key}`, 'is given by ids or q', 'additionalProperties')
  try {
    check(action.params, { ...params, [key]: 'any' })
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error
    throw new ValidationError(error.violations.map((each) => ({ ...each, field: `params.${each.field}` })))
  }
}

async function itemsOf({ contract, kind, find, search }: Resource, { ids, q }: Params, rights: Rights) {
  const maySee = maySeeOf(contract.actions['list'] as Action, rights)
  if (ids === undefined) {
    const { data, total } = await search({ limit: mostInBulk, ...(q !== undefined && { q }) }, maySee)
    if (total > mostInBulk)
      throw invalid('q', `fits ${total} items, of which one request takes ${mostInBulk}`, 'maxItems')
    return { found: data, unknown: [] }
  }
  const known = new Map((await find(ids.filter((id) => maySee.all || maySee.item(id)))).map((item) => [item.id, item]))
  const notFound = (id: string) => ({ id, name: id, error: 'NOT_FOUND', message: `${kind} '${id}' not found` })
  return {
    found: ids.flatMap((id) => known.get(id) ?? []),
    unknown: ids.filter((id) => !known.has(id)).map(notFound),
  }
}

/** The reasons against the first few items. */
function reasonsOf(left: { name: string; message: string }[]): string {
  if (left.length === 0) return 'nothing fits'
  const told = left.slice(0, 5).map(({ name, message }) => `${name}: ${message}`)
  return `${told.join('; ')}${left.length > 5 ? ' …' : ''}`
}
