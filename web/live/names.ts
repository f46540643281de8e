import { type Signal, signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { call, requestOf } from '../api/client.ts'
import { asRefusal, Refusal } from '../api/refusal.ts'
import { inQueries } from '../lists/query.ts'
import { changedBy } from './changes.ts'
import { onReadAgain } from './collection.ts'
import { listen } from './stream.ts'

/** Lists whose items have names, and are shown by them elsewhere. */
export type Named = 'pools.list' | 'nodes.list'

type Kept = { name: Signal<string | undefined>; users: number; isWanted: boolean; isRead: boolean }

const lists: Record<Named, Map<string, Kept>> = { 'pools.list': new Map(), 'nodes.list': new Map() }
/** Ids that are wanted within this time are one question. */
const gatherMs = 30
const retryMs = 5000
let timer: ReturnType<typeof setTimeout> | undefined

async function read(of: Named, ids: string[]): Promise<void> {
  const kept = lists[of]
  const asked = { q: `id:${ids.join()}`, fields: 'id,name', limit: ids.length }
  const answer = await call(of, asked).catch((error: unknown) => asRefusal(error))
  if (answer instanceof Refusal) {
    // The names of before stay, or the ids are shown.
    if (answer.isRetryable) setTimeout(() => ids.forEach((id) => kept.has(id) && want(kept.get(id)!)), retryMs)
    return
  }
  const { data } = answer
  const found = new Map(data.data.map(({ id, name }) => [id, name]))
  for (const id of ids) {
    const one = kept.get(id)
    if (one) one.name.value = found.get(id)
  }
}

function readWanted(): void {
  timer = undefined
  for (const of of Object.keys(lists) as Named[]) {
    const wanted = [...lists[of]].filter(([, { isWanted, users }]) => isWanted && users > 0)
    for (const [, one] of wanted) {
      one.isWanted = false
      one.isRead = true
    }
    for (const ids of inQueries(wanted.map(([id]) => id))) void read(of, ids)
  }
}

function want(one: Kept): void {
  one.isWanted = true
  timer ??= setTimeout(readWanted, gatherMs)
}

/** Asks again for names that a change at a path can alter; null: all. */
function note(path: string | null): void {
  for (const of of Object.keys(lists) as Named[]) {
    const base = requestOf(of, {}).path
    for (const [id, one] of lists[of]) if (path === null || path === base || path === `${base}/${id}`) want(one)
  }
}
listen({ event: (event) => changedBy(event).forEach(note), resync: () => note(null) })
onReadAgain(note)

/** The name of an item, or undefined as long as it is not read or may not be. Only ids that are shown are asked for. */
export function useName(of: Named, id: string): string | undefined {
  const kept = lists[of]
  const one = kept.get(id) ?? { name: signal<string | undefined>(undefined), users: 0, isWanted: false, isRead: false }
  kept.set(id, one)
  useEffect(() => {
    one.users++
    if (!one.isRead || one.isWanted) want(one)
    return () => void one.users--
  }, [one])
  return one.name.value
}
