import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  ListQuery,
  Name,
  nullable,
  oneOf,
  Page,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'

/** The snapshots that a quota counts. */
export const QuotaScope = Type.Union([
  strict({ kind: Type.Literal('vm'), vm_id: Id }),
  strict({ kind: Type.Literal('pool'), pool: Type.String({ ...Id, description: 'Id of a storage pool' }) }),
  strict({ kind: Type.Literal('global') }),
])
export type QuotaScope = Static<typeof QuotaScope>

const policies = ['oldest_first', 'largest_first', 'least_used_first', 'manual'] as const
const Policy = oneOf(...policies)
export type Policy = Static<typeof Policy>

const limits = {
  max_count: Type.Union([Type.Integer({ minimum: 0, maximum: 1_000_000 }), Type.Null()], {
    description: 'Snapshots; null is no limit',
  }),
  max_bytes: Type.Union([Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), Type.Null()], {
    description: 'Bytes that the storage holds for them; null is no limit',
  }),
}
const Warning = Type.Integer({ minimum: 1, maximum: 100, description: 'Percent of a limit from which the quota warns' })

export const Quota = record('name policy max_count max_bytes warning_percent is_warning id')({
  id: Id,
  name: Name,
  scope: QuotaScope,
  ...limits,
  warning_percent: Warning,
  policy: Type.Unsafe<Policy>({ ...Policy, description: 'The order in which `enforce` deletes' }),
  is_warning: Type.Boolean({ description: 'At or above its warning threshold when it was looked at last' }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Quota = Static<typeof Quota>

const Count = Type.Integer({ minimum: 0 })
const Percent = Type.Union([Type.Number(), Type.Null()], { description: 'Percent of the limit; null without one' })

/** The use of a quota. */
export const QuotaUsage = strict({
  quota_id: Id,
  count: Type.Integer({ description: 'Snapshots, those that are being made included' }),
  bytes: Type.Integer({ description: 'Bytes that the storage holds for them, as far as they are known' }),
  unmeasured: Type.Integer({ description: 'Snapshots of which the bytes are not known: they count none' }),
  measured_at: Type.Union([Time, Type.Null()], { description: 'When the oldest of these bytes were measured' }),
  count_percent: Percent,
  bytes_percent: Percent,
  state: Type.Enum(['ok', 'warning', 'exceeded'], { description: '`exceeded`: above a limit' }),
})
export type QuotaUsage = Static<typeof QuotaUsage>

const Chosen = {
  snapshot_id: Id,
  vm_id: Id,
  name: Name,
  created_at: Time,
  bytes: Type.Union([Type.Integer(), Type.Null()], {
    description: 'Bytes that the storage holds for it in this scope',
  }),
}
const Deletion = strict({
  ...Chosen,
  schedule_id: Type.Union([Id, Type.Null()], { description: 'The schedule that made it; null: a caller' }),
})

/** The effects of an enforcement, before it is made. */
export const EnforcePlan = strict({
  quota_id: Id,
  policy: Policy,
  usage: QuotaUsage,
  delete: Type.Array(Deletion, { description: 'In this order' }),
  skipped: Type.Array(strict({ ...Chosen, reason: Type.String() }), {
    description: 'Snapshots that the policy would choose before others, and that cannot go',
  }),
  is_enough: Type.Boolean({ description: 'The quota has the wanted room afterwards, by the bytes that are known now' }),
  plan_id: Type.String({ description: 'For the header `If-Plan`' }),
})
export type EnforcePlan = Static<typeof EnforcePlan>

const on = 'VmAllocate on /api/snapshot-quotas/{id}' as const
const seen = 'VmAudit on /api/snapshot-quotas/{id}' as const

export const snapshotQuotas = contract('snapshot-quotas', {
  list: {
    does: 'List the quotas of snapshots',
    rest: 'GET /snapshot-quotas',
    can: 'signed-in',
    itemAccess: seen,
    params: ListQuery('name', 'policy', 'is_warning'),
    result: Page(Quota),
  },
  get: { does: 'Get a quota of snapshots', rest: 'GET /snapshot-quotas/{id}', can: seen, params: ById, result: Quota },
  create: {
    does: 'Limit the snapshots of a virtual machine, in a storage pool, or of all',
    rest: 'POST /snapshot-quotas',
    can: on,
    audit: 'config_changed',
    params: strict({
      id: Type.Optional(Id),
      name: Name,
      scope: QuotaScope,
      max_count: Type.Union([...limits.max_count.anyOf], { ...limits.max_count, default: null }),
      max_bytes: Type.Union([...limits.max_bytes.anyOf], { ...limits.max_bytes, default: null }),
      warning_percent: Type.Integer({ ...Warning, default: 80 }),
      policy: Type.Enum([...policies], { default: 'manual' as const }),
    }),
    result: Quota,
    status: 201,
  },
  update: {
    does: 'Change a quota of snapshots; limits below the use refuse new snapshots and delete none',
    rest: 'PATCH /snapshot-quotas/{id}',
    can: on,
    audit: 'config_changed',
    params: strict({
      id: Id,
      name: Type.Optional(Name),
      max_count: Type.Optional(limits.max_count),
      max_bytes: Type.Optional(limits.max_bytes),
      warning_percent: Type.Optional(Warning),
      policy: Type.Optional(Policy),
    }),
    result: Quota,
  },
  delete: {
    does: 'Delete a quota; its snapshots stay',
    rest: 'DELETE /snapshot-quotas/{id}',
    can: on,
    audit: 'config_changed',
    params: ById,
    result: Done,
    status: 204,
  },
  usage: {
    does: 'Show the use of a quota, with the bytes of its snapshots as they were measured last',
    rest: 'GET /snapshot-quotas/{id}/usage',
    can: seen,
    params: ById,
    result: QuotaUsage,
    computed: true,
  },
  summary: {
    does: 'Show the use of all quotas of snapshots that the caller may see, the fullest first',
    rest: 'GET /snapshot-quotas/summary',
    can: 'signed-in',
    itemAccess: seen,
    params: strict({}),
    result: strict({
      total: Count,
      warning: Type.Integer({ minimum: 0, description: 'Quotas at or above their threshold, those exceeded included' }),
      exceeded: Count,
      data: Type.Array(
        strict({
          ...QuotaUsage.properties,
          name: Name,
          scope: QuotaScope,
          ...limits,
        }),
      ),
    }),
    computed: true,
  },
  enforce: {
    does: 'Delete snapshots by the policy of a quota until its limits hold; takes VmSnapshot on their virtual machines as well',
    rest: 'POST /snapshot-quotas/{id}/enforce',
    can: 'VmSnapshot on /api/snapshot-quotas/{id}',
    operation: true,
    audit: 'snapshot_deleted',
    plan: EnforcePlan,
    params: strict({
      id: Id,
      plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
      room_count: Type.Integer({ minimum: 0, maximum: 1000, default: 0, description: 'Make room for so many more' }),
      room_bytes: Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        default: 0,
        description: 'Make room for so many more bytes',
      }),
      snapshots: Type.Optional(
        Type.Array(Id, {
          minItems: 1,
          maxItems: 100,
          description: 'Choose among these only; with the policy `manual` these are deleted, in this order',
        }),
      ),
    }),
    result: strict({
      deleted: Type.Array(Deletion),
      kept: Type.Array(strict({ ...Chosen, reason: Type.String() }), {
        description: 'Snapshots of the plan that could not be deleted by then',
      }),
      usage: nullable(QuotaUsage),
    }),
  },
})
