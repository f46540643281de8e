import type { PageOf } from '#shared/db/page.ts'
import type { AuditQuery, AuditRecord } from '#shared/contracts/core/audit.ts'
import { countOf } from '#shared/db/commands.ts'
import { readMany } from '#shared/db/read.ts'
import { invalid } from '#shared/errors.ts'
import { auditKinds } from '#shared/contract/audit-kinds.ts'
import { fromStore, type StoredRecord } from '../chain/chain.ts'
import { chain } from '../models.ts'

type Filter = Record<string, unknown>
type Paging = Pick<AuditQuery, 'limit' | 'cursor' | 'offset' | 'order'>

/** Parses `vm_created,console_*`: kinds, or prefixes of kinds. @throws ValidationError for an unknown kind */
function kindsOf(kind: string): string[] {
  return kind.split(',').flatMap((part) => {
    const word = part.trim()
    const fits = (known: string) => (word.endsWith('*') ? known.startsWith(word.slice(0, -1)) : known === word)
    const found = auditKinds.filter(fits)
    if (found.length === 0) throw invalid('kind', `there is no kind '${word}'`, 'enum')
    return found
  })
}

export function between({ since, until }: { since?: string | undefined; until?: string | undefined }): Filter {
  const time = {
    ...(since !== undefined && { $gte: new Date(since).toISOString() }),
    ...(until !== undefined && { $lt: new Date(until).toISOString() }),
  }
  return Object.keys(time).length > 0 ? { time } : {}
}

/** The store's filter for a query. */
export function filterOf(query: Partial<AuditQuery>): Filter {
  const { kind, resource } = query
  const filter: Filter = between(query)
  if (kind !== undefined) filter['kind'] = { $in: kindsOf(kind) }
  if (resource !== undefined)
    filter['path'] = resource.endsWith('*') ? { $regex: `^${RegExp.escape(resource.slice(0, -1))}` } : resource
  for (const key of ['user', 'address', 'severity', 'result', 'request_id', 'operation_id'] as const)
    if (query[key] !== undefined) filter[key] = query[key]
  return filter
}

const cursorOf = (seq: number) => Buffer.from(String(seq)).toString('base64url')

export function seqOf(cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString('utf8')
  if (!/^\d{1,15}$/.test(text) || cursorOf(Number(text)) !== cursor)
    throw invalid('cursor', 'is not a cursor of this list')
  return Number(text)
}

/** One page in the order of the chain. The cursor is the last `seq`, so new records shift nothing. */
export async function select(
  filter: Filter,
  { limit, cursor, offset = 0, order }: Paging,
): Promise<PageOf<AuditRecord>> {
  const after = cursor === undefined ? {} : { seq: { [order === 'asc' ? '$gt' : '$lt']: seqOf(cursor) } }
  const sort = { seq: order === 'asc' ? (1 as const) : (-1 as const) }
  const found = await readMany<StoredRecord>(chain, { $and: [filter, after] }, { sort, skip: offset, limit: limit + 1 })
  const more = found.length > limit
  if (more) found.pop()
  const total = await countOf(chain, filter)
  return { data: found.map(fromStore), next_cursor: more ? cursorOf(found.at(-1)!.seq) : null, total }
}
