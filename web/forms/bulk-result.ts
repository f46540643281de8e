import type { BulkResult } from '#shared/contracts/bulk.ts'
import type { Operation } from '#shared/contracts/core/operations.ts'
import { count } from '../words/format.ts'
import { t } from '../words/words.ts'

/** The result of an operation that did one action with many items; undefined for others, and until its end. */
export const bulkResultOf = ({ kind, result }: Pick<Operation, 'kind' | 'result'>): BulkResult | undefined =>
  // The result of these kinds, by their contracts.
  kind.endsWith('-bulk.run') && result ? (result as BulkResult) : undefined

export const bulkText = ({ done, failed, skipped, refused }: BulkResult): string =>
  t('bulkResult', {
    done: count(done.length),
    failed: count(failed.length),
    skipped: count(skipped.length + refused.length),
  })
