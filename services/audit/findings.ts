import type { Result } from '#shared/contract.ts'
import type { audit } from '#shared/contracts/audit.ts'
import { inStore } from '#shared/db/connect.ts'
import { chain } from './models.ts'

type Stats = Result<typeof audit, 'stats'>
type BruteForce = Result<typeof audit, 'bruteForce'>['data'][number]
type Filter = Record<string, unknown>
type Row = { time: string; kind: string; user: string | null; address: string | null }

const countBy = async (filter: Filter, field: string): Promise<Record<string, number>> => {
  const rows = await inStore(() =>
    chain.aggregate<{ _id: string | null; n: number }>([
      { $match: filter },
      { $group: { _id: `$${field}`, n: { $sum: 1 } } },
      { $sort: { n: -1, _id: 1 } },
      { $limit: 1000 },
    ]),
  )
  return Object.fromEntries(rows.map(({ _id, n }) => [_id ?? '(removed)', n]))
}

const edge = async (filter: Filter, direction: 1 | -1): Promise<string | null> => {
  const [found] = (await inStore(() =>
    chain
      .find(filter as never, { time: 1 })
      .sort({ seq: direction })
      .limit(1)
      .lean(),
  )) as unknown as { time: string }[]
  return found?.time ?? null
}

export async function statsOf(filter: Filter): Promise<Stats> {
  const [total, by_kind, by_result, by_severity, by_user, first, last] = await Promise.all([
    inStore(() => chain.countDocuments(filter as never)),
    countBy(filter, 'kind'),
    countBy(filter, 'result'),
    countBy(filter, 'severity'),
    countBy(filter, 'user'),
    edge(filter, 1),
    edge(filter, -1),
  ])
  return { total, by_kind, by_result, by_severity, by_user, first, last }
}

/** Who was guessed at and who guessed: at least so many failed logins, and what else is known of them. */
export async function bruteForceIn(filter: Filter, threshold: number): Promise<BruteForce[]> {
  const rows = (await inStore(() =>
    chain
      .find({ ...filter, kind: { $in: ['login', 'login_failed'] } } as never, { time: 1, kind: 1, user: 1, address: 1 })
      .sort({ seq: 1 })
      .lean(),
  )) as unknown as Row[]
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
