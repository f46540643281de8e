import type { Operation } from '#shared/contracts/core/operations.ts'
import { keptEvents } from '../bus/stored-events.ts'
import type { Separate } from './separate.ts'

/** Events in the stream that tell of an operation as if it went on, after an event of its end. */
export async function lateEvents({ deployment }: Pick<Separate, 'deployment'>): Promise<string[]> {
  const events = await keptEvents(deployment.connect)
  const ended = new Map<string, number>()
  const late: string[] = []
  for (const { data } of events.filter(({ type }) => type === 'OperationUpdated')) {
    const { id, kind, state, ended_at, version } = data as Operation
    const end = ended.get(id)
    if (end !== undefined && ended_at === null)
      late.push(`${kind} ${id}: ${state} at ${version} after its end at ${end}`)
    if (ended_at !== null) ended.set(id, version)
  }
  return late
}

/** Requests of which a change has more than one record of success. */
export async function doubledOnRecord({ ask }: Pick<Separate, 'ask'>, since: string): Promise<string[]> {
  const counts = new Map<string, number>()
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: string = cursor && `&cursor=${encodeURIComponent(cursor)}`
    const { body } = await ask(`GET /api/audit/events?limit=1000&since=${since}${page}`)
    const records = body['data'] as { action: string; request_id: string; result: string; path: string }[]
    for (const { action, request_id, path, result } of records) {
      const what = `${action} ${path} ${request_id}`
      if (result === 'success') counts.set(what, (counts.get(what) ?? 0) + 1)
    }
    cursor = body['next_cursor'] as string | null
  }
  return [...counts].filter(([, count]) => count > 1).map(([what, count]) => `${what}: ${count} records`)
}
