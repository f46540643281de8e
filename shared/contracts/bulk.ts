import { type Static, Type } from 'typebox'
import { Id, strict } from '#shared/contracts/common.ts'

const Item = { id: Id, name: Type.String() }
const Left = strict({ ...Item, error: Type.String(), message: Type.String() })

export const BulkPlan = strict({
  plan_id: Type.String({ description: 'For the header `If-Plan`' }),
  action: Type.String(),
  does: Type.Array(strict(Item), { description: 'It is done with these' }),
  skipped: Type.Array(Left, { description: 'Their state does not let it be done now' }),
  refused: Type.Array(Left, { description: 'The caller may not do it with these, or they do not exist' }),
})
export type BulkPlan = Static<typeof BulkPlan>

export const BulkResult = strict({
  done: Type.Array(Id),
  failed: Type.Array(strict({ ...Item, error: Type.String(), message: Type.String(), operation_id: Type.String() })),
  skipped: Type.Array(Left),
  refused: Type.Array(Left),
})
export type BulkResult = Static<typeof BulkResult>

/** The most items of one request. */
export const mostInBulk = 1000

/**
 * Parameters of one action with many items of a list.
 * @param verbs actions of the same contract, each an operation on one item
 * @param query the `q` of the list
 */
export const BulkParams = <const V extends readonly [string, ...string[]], Q extends ReturnType<typeof Type.String>>(
  verbs: V,
  query: Q,
) =>
  strict({
    action: Type.Enum<[...V]>([...verbs]),
    ids: Type.Optional(
      Type.Array(Id, { minItems: 1, maxItems: mostInBulk, uniqueItems: true, description: 'These; or `q`' }),
    ),
    q: Type.Optional(query),
    params: Type.Record(Type.String(), Type.Unknown(), {
      default: {},
      description: 'Further parameters of the action, the same for all',
    }),
    plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
  })
