import type { Watched } from '#shared/contracts/metrics/monitoring.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { GuestSample } from '../sources/guest-source.ts'
import { guestSources } from '../sources/guests.ts'
import type { SubjectName } from '../history/chunks.ts'
import type { Row } from '../history/ring.ts'
import { type Clock, goneRow, type Measured } from './guest-rows.ts'
import { clock } from './subjects.ts'

/** Why the guests of a node could not be measured last time, by node; absent while they can. */
const problems = new Map<string, string>()
export const problemOf = (node: string): string | null => problems.get(node) ?? null

/** Measures the guests of a node with all sources at once. VMs that run no more get a last row which says so. */
export async function measureGuests(reached: Reached, byHandle: ReadonlyMap<string, Watched>): Promise<Measured[]> {
  const node = reached.node.id
  if (byHandle.size === 0) return []
  const answers = await Promise.all(guestSources.map(({ name, measure }) => ask(name, () => measure(reached))))
  const failed = answers.flatMap((answer) => ('error' in answer ? [answer.error] : []))
  if (failed.length > 0) problems.set(node, failed.join('; '))
  else problems.delete(node)
  const times = clock()
  const rows = answers.flatMap((answer) =>
    'error' in answer ? [] : answer.samples.flatMap((sample) => rowOf(answer.source, node, sample, byHandle, times)),
  )
  // A source that failed says nothing of the guests that it would have found.
  if (failed.length > 0) return rows
  const found = new Set(rows.map(({ subject }) => subject))
  return [...rows, ...goneRows(node, byHandle, found, times)]
}

type Answer = { source: string; samples: GuestSample[] } | { error: string }

async function ask(source: string, measure: () => Promise<GuestSample[]>): Promise<Answer> {
  try {
    return { source, samples: await measure() }
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error
    return { error: error.message }
  }
}

function rowOf(
  source: string,
  node: string,
  { handle, run, quality, because, values }: GuestSample,
  byHandle: ReadonlyMap<string, Watched>,
  times: Clock,
): Measured[] {
  const vm = byHandle.get(handle)
  if (!vm) return []
  const identity = { id: `${handle} ${run}`, node }
  const row: Row = { ...times, identity, source, quality, values, ...(because !== undefined && { because }) }
  return [{ subject: `vms/${vm.id}`, row }]
}

/** One row for each VM of the node that was measured before and does not run any more. */
function goneRows(
  node: string,
  byHandle: ReadonlyMap<string, Watched>,
  found: ReadonlySet<SubjectName>,
  times: Clock,
): Measured[] {
  return [...byHandle.values()].flatMap(({ id }) =>
    found.has(`vms/${id}`) ? [] : goneRow(`vms/${id}`, node, 'The guest does not run', times),
  )
}
