import { allParts } from '#shared/bus/all-pages.ts'
import { call } from '#shared/bus/call.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import type { ContainerSample, WatchedContainer } from '#shared/contracts/metrics/monitoring.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { SubjectName } from '../history/chunks.ts'
import type { Ring, Row } from '../history/ring.ts'
import { type Clock, goneRow, type Measured } from './guest-rows.ts'
import { clock, ringOf } from './subjects.ts'

const mib = 2 ** 20
/** Longer than the deadline that the service has for a node. */
const answerWithinMs = 4500

/** Why the containers of a node could not be measured last time, by node; absent while they can. */
const problems = new Map<string, string>()
export const containerProblemOf = (node: string): string | null => problems.get(node) ?? null

/**
 * Measures the containers of a node, of all engines. Those that run no more get a last row which says so.
 * @param known the containers of the node, by their ids
 */
export async function measureContainers(
  node: string,
  known: ReadonlyMap<string, WatchedContainer>,
): Promise<Measured[]> {
  const own = [...known.values()]
  if (!own.some(({ status }) => status === 'running' || status === 'paused')) return goneRows(own, new Set(), clock())
  try {
    const samples = await readSamples(node)
    problems.delete(node)
    const times = clock()
    const nodeRing = ringOf(`nodes/${node}`)
    const rows = samples.flatMap((sample) => rowOf(node, sample, known.get(sample.id), nodeRing, times))
    return [...rows, ...goneRows(own, new Set(rows.map(({ subject }) => subject)), times)]
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error
    problems.set(node, error.message)
    return []
  }
}

const readSamples = (node: string): Promise<ContainerSample[]> =>
  allParts((part) => call(containers, 'measure', { node, ...part }, { isQuestion: true, timeoutMs: answerWithinMs }))

/** @param nodeRing has the processors and the memory of the node, for a container without limits */
function rowOf(
  node: string,
  { id, run, source, values }: ContainerSample,
  container: WatchedContainer | undefined,
  nodeRing: Ring | undefined,
  times: Clock,
): Measured[] {
  // The notice of a new container comes with the next turn.
  if (!container) return []
  const cpus = container.cpus ?? numberIn(nodeRing, 'cpus')
  const memory = container.memory === null ? numberIn(nodeRing, 'memory_total_bytes') : container.memory * mib
  const row: Row = {
    ...times,
    identity: { id: `${id} ${run}`, node },
    source,
    quality: 'fresh',
    values: {
      ...values,
      up: 1,
      ...(cpus !== undefined && { cpus }),
      ...(memory !== undefined && { memory_bytes: memory }),
    },
  }
  return [{ subject: `containers/${id}`, row }]
}

function numberIn(ring: Ring | undefined, column: string): number | undefined {
  const value = ring?.value(column)
  return value === undefined || Number.isNaN(value) ? undefined : value
}

const goneRows = (own: WatchedContainer[], found: ReadonlySet<SubjectName>, times: Clock): Measured[] =>
  own.flatMap(({ id, node }) =>
    found.has(`containers/${id}`) ? [] : goneRow(`containers/${id}`, node, 'The container does not run', times),
  )
