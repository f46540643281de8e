import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, ListQuery, oneOf, Page, record, SearchQuery, strict, Time, Version } from '#shared/contracts/common.ts'

export const OperationState = oneOf(
  'queued',
  'running',
  'cancelling',
  'succeeded',
  'failed',
  'cancelled',
  'rolled_back',
  'needs_attention',
)
export type OperationState = Static<typeof OperationState>

const StepState = oneOf('running', 'done', 'failed', 'undoing', 'undone')
export const Failure = strict({ error: Type.String(), message: Type.String(), details: Type.Optional(Type.Unknown()) })

export const Operation = record('id kind state progress.percent resources user created_at')({
  id: Type.String(),
  kind: Type.String({ description: 'The action, such as vms.create' }),
  state: OperationState,
  stage: Type.Union([Type.String(), Type.Null()], { description: 'The current or last step' }),
  progress: strict({
    done: Type.Number(),
    total: Type.Union([Type.Number(), Type.Null()]),
    unit: Type.Enum(['steps', 'bytes']),
    percent: Type.Union([Type.Number({ minimum: 0, maximum: 100 }), Type.Null()]),
  }),
  eta: Type.Union([Time, Type.Null()], { description: 'Expected end; null if unknown' }),
  steps: Type.Array(
    strict({
      name: Type.String(),
      state: StepState,
      started_at: Time,
      ended_at: Type.Union([Time, Type.Null()]),
      error: Type.Optional(Failure),
    }),
  ),
  resources: Type.Array(Type.String(), { description: 'Paths of the resources it works on' }),
  user: Type.String(),
  request_id: Type.String(),
  created_at: Time,
  started_at: Type.Union([Time, Type.Null()]),
  ended_at: Type.Union([Time, Type.Null()]),
  cancellable: Type.Boolean(),
  result: Type.Unknown(),
  error: Type.Union([Failure, Type.Null()]),
  version: Version,
})
export type Operation = Static<typeof Operation>

const LogLine = strict({ time: Time, message: Type.String() })

const { can: _, ...listQuery } = SearchQuery(Operation, ['state', 'kind', 'user', 'resources']).properties
/** `resource` is the earlier name of `resources` in filters. */
const { filter } = ListQuery('state', 'kind', 'user', 'resource', 'resources').properties

/**
 * An operation is seen by the user or the restricted API key that began it, and by every caller with SysAudit on `/`, a
 * restricted key among them; to others it does not exist.
 */
export const operations = contract('operations', {
  list: {
    does: 'List operations, the newest first',
    rest: 'GET /operations',
    can: 'signed-in',
    params: strict({ ...listQuery, filter }),
    result: Page(Operation),
  },
  get: { does: 'Get an operation', rest: 'GET /operations/{id}', can: 'signed-in', params: ById, result: Operation },
  wait: {
    does: 'Wait until an operation has ended, or for the timeout',
    rest: 'GET /operations/{id}/wait',
    can: 'signed-in',
    params: strict({
      id: ById.properties.id,
      timeout: Type.Number({ minimum: 0, maximum: 60, default: 30, 'x-unit': 'seconds', description: 'Seconds' }),
    }),
    result: Operation,
  },
  log: {
    does: "Read an operation's log",
    rest: 'GET /operations/{id}/log',
    can: 'signed-in',
    params: ById,
    result: strict({ data: Type.Array(LogLine) }),
  },
  cancel: {
    does: 'Cancel an operation and undo its steps',
    rest: 'POST /operations/{id}/cancel',
    can: 'signed-in',
    audit: 'config_changed',
    params: ById,
    result: Operation,
  },
})
