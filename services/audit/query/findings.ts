import type { Result } from '#shared/contract/contract.ts'
import type { audit } from '#shared/contracts/core/audit.ts'
import { inStore } from '#shared/db/connect.ts'
import { readFirst, readMany } from '#shared/db/read.ts'
import { chain } from '../models.ts'

type Stats = Result<typeof audit, 'stats'>
type BruteForce = Result<typeof audit, 'bruteForce'>['data'][number]
type Filter = Record<string, unknown>
type Row = { time: string; kind: string; user: string | null; address: string | null }

type Group = { _id: { kind: string; result: string; severity: string; user: string | null }; n: number }

/** Groups for all counts, in one pass over the records. */
function groupsOf(filter: Filter): Promise<Group[]> {
  return inStore(() =>
    chain.aggregate<Group>([
      { $match: filter },
      {
        $group: {
          _id: { kind: '$kind', result: '$result', severity: '$severity', user: '$user' },
          n: { $sum: 1 },
        },
      },
    ]),
  )
}

const maxNames = 1000

/** Counts by one field, the largest first, at most a thousand. */
function countBy(groups: Group[], field: keyof Group['_id']): Record<string, number> {
  const counts = new Map<string, number>()
  for (const { _id, n } of groups) {
    const name = _id[field] ?? '(removed)'
    counts.set(name, (counts.get(name) ?? 0) + n)
  }
  return Object.fromEntries([...counts].toSorted(([, a], [, b]) => b - a).slice(0, maxNames))
}

async function edge(filter: Filter, direction: 1 | -1): Promise<string | null> {
  const found = await readFirst<{ time: string }>(chain, filter, { sort: { seq: direction }, fields: ['time'] })
  return found?.time ?? null
}

export async function statsOf(filter: Filter): Promise<Stats> {
  const [groups, first, last] = await Promise.all([groupsOf(filter), edge(filter, 1), edge(filter, -1)])
  return {
    total: groups.reduce((sum, { n }) => sum + n, 0),
    by_kind: countBy(groups, 'kind'),
    by_result: countBy(groups, 'result'),
    by_severity: countBy(groups, 'severity'),
    by_user: countBy(groups, 'user'),
    first,
    last,
  }
}

/** Users and addresses with at least `threshold` failed logins, and their other login records. */
export async function bruteForceIn(filter: Filter, threshold: number): Promise<BruteForce[]> {
  const logins = { ...filter, kind: { $in: ['login', 'login_failed'] } }
  const rows = await readMany<Row>(chain, logins, { sort: { seq: 1 }, fields: ['time', 'kind', 'user', 'address'] })
  return [...groupsBy(rows, 'user', 'address'), ...groupsBy(rows, 'address', 'user')]
    .filter(({ failures }) => failures >= threshold)
    .toSorted((a, b) => b.failures - a.failures)
}

function groupsBy(rows: Row[], by: 'user' | 'address', other: 'user' | 'address'): BruteForce[] {
  const known = rows.filter((row) => row[by] !== null && row[by] !== 'anonymous')
  return [...Map.groupBy(known, (row) => row[by]!)].flatMap(([name, all]) => {
    const failed = all.filter(({ kind }) => kind === 'login_failed')
    if (failed.length === 0) return []
    const others = [...new Set(failed.map((row) => row[other]).filter((value) => value !== null))]
    const lastFailure = all.findLastIndex(({ kind }) => kind === 'login_failed')
    return {
      by,
      name,
      failures: failed.length,
      first: failed[0]!.time,
      last: failed.at(-1)!.time,
      others: others.slice(0, 100),
      succeeded_after: all.slice(lastFailure).some(({ kind }) => kind === 'login'),
    }
  })
}
