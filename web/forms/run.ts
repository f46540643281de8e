import type { Operation } from '#shared/contracts/core/operations.ts'
import { type Asked, call } from '../api/client.ts'
import type { ActionName, ParamsOf, ResultOf } from '../api/contracts.ts'
import { requestOf } from '../api/client.ts'
import { invalidate } from '../live/cache.ts'
import { invalidateCollections } from '../live/collection.ts'
import { isOver, keep, onEnd } from '../live/operations.ts'
import { bulkResultOf, bulkText } from './bulk-result.ts'
import { toast } from '../widgets/toasts.tsx'
import { t, told } from '../words/words.ts'

const begunHere = new Set<string>()

/** The words for an operation: the verb and the names of its resources. */
export const titleOf = ({ kind, resources }: Pick<Operation, 'kind' | 'resources'>): string => {
  const names = resources.map((path) => decodeURIComponent(path.split('/').at(-1) ?? '')).slice(0, 2)
  return `${told('op', kind)}${names.length > 0 ? `: ${names.join(', ')}` : ''}`
}

onEnd((operation) => {
  if (!begunHere.delete(operation.id)) return
  const bulk = bulkResultOf(operation)
  if (bulk) toast(bulk.failed.length > 0 ? 'bad' : 'good', `${titleOf(operation)} – ${bulkText(bulk)}`)
  else tellEnd(operation)
})

function tellEnd(operation: Operation): void {
  if (operation.state === 'succeeded') toast('good', `${titleOf(operation)} – ${t('done')}`)
  else toast('bad', `${titleOf(operation)} – ${operation.error?.message ?? told('status', operation.state)}`)
}

const isOperation = (answer: unknown): answer is Operation =>
  typeof answer === 'object' && answer !== null && 'steps' in answer && 'cancellable' in answer

/**
 * Runs a change. Its operation goes to the drawer, with one toast at its end; any other change is read again at once,
 * without waiting for its event.
 * @throws Refusal
 */
export async function run<N extends ActionName>(
  name: N,
  params: ParamsOf<N>,
  asked: Pick<Asked, 'ifMatch' | 'ifPlan'> = {},
): Promise<ResultOf<N>> {
  const { data } = await call(name, params, asked)
  const answer: unknown = data
  if (isOperation(answer)) {
    begunHere.add(answer.id)
    keep(answer)
    if (isOver(answer)) begunHere.delete(answer.id)
  } else {
    const { path } = requestOf(name, params as Record<string, unknown>)
    invalidate(path)
    invalidateCollections(path)
  }
  return data
}
