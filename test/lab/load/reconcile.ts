import { ask } from '../clients/http.ts'
import type { Wish } from './load.ts'
import { until } from '../wait.ts'

type Found = { data: Record<string, unknown>[]; next_cursor: string | null }

export async function everything(url: string, token: string, path: string): Promise<Record<string, unknown>[]> {
  const all: Record<string, unknown>[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const { status, body, text } = await ask(
      url,
      `GET ${path}?limit=50${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
      { token },
    )
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${text}`)
    const { data, next_cursor } = body as unknown as Found
    all.push(...data)
    cursor = next_cursor
  }
  return all
}

/**
 * The outcome of the wishes: lost ones (acknowledged, but missing, or not deleted, or not renamed), doubled ones, and
 * operations that did not end or failed.
 */
export type Reconciliation = {
  acknowledged: number
  lost: string[]
  doubled: string[]
  unended: string[]
  failed: string[]
}

/** Waits until all accepted operations have ended, and compares the acknowledged changes with the state. */
export async function reconcile(url: string, token: string, wishes: Wish[]): Promise<Reconciliation> {
  const ids = wishes.flatMap(({ operation }) => operation ?? [])
  const ends = new Map<string, string>()
  const look = async () => {
    for (const id of ids.filter((each) => !ends.has(each))) {
      const { status, body } = await ask(url, `GET /api/operations/${id}`, { token })
      if (status === 200 && body['ended_at'] !== null) ends.set(id, endOf(body))
    }
    return ends.size === ids.length
  }
  await until(look, { intervalMs: 300, what: 'the end of all operations' }).catch(() => undefined)
  const [pools, volumes, users] = [
    await everything(url, token, '/api/storage/pools'),
    await everything(url, token, '/api/storage/pools/main/volumes'),
    await everything(url, token, '/api/users'),
  ]
  const names = {
    pool: pools.map(({ name }) => name),
    'pool-without-key': pools.map(({ name }) => name),
    volume: volumes.map(({ name }) => name),
    user: users.map(({ username }) => String(username).replace('user.', '')),
  }
  const countOf = ({ kind, name }: Wish) => names[kind].filter((each) => each === name).length
  const fullNames = new Set(users.map(({ full_name }) => full_name))
  const words = (found: Wish[]) => found.map(({ kind, name, changed = '' }) => `${kind} ${name} ${changed}`)
  const isLost = (wish: Wish) => {
    if (!wish.acknowledged) return false
    if (wish.changed === 'deleted') return countOf(wish) > 0
    if (wish.changed === 'renamed') return !fullNames.has(wish.name)
    return wish.changed === undefined && countOf(wish) === 0
  }
  return {
    acknowledged: wishes.filter(({ acknowledged }) => acknowledged).length,
    lost: words(wishes.filter(isLost)),
    doubled: words(wishes.filter((wish) => countOf(wish) > 1)),
    unended: ids.filter((id) => !ends.has(id)),
    failed: ids.filter((id) => ends.has(id) && ends.get(id) !== 'succeeded').map((id) => `${id} ${ends.get(id)}`),
  }
}

const endOf = ({ state, error }: Record<string, unknown>) =>
  [state, ...(error ? [JSON.stringify(error)] : [])].join(' ')
