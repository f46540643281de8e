import type { ContainerSample } from '#shared/contracts/metrics/monitoring.ts'
import { type Cgroup, cgroupIn } from '#shared/nodes/host/cgroup/cgroup.ts'
import { hierarchiesOf } from '#shared/nodes/host/cgroup/hierarchies.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type ContainerRecord, containerRecords } from '../model.ts'
import { readLocal, readRemote, type ReadTexts } from './read.ts'
import { startIn, type StatFile, statFilesOf, statValuesIn } from './values.ts'

type Measured = { id: string; pid: number; sharesNetwork: boolean }
/** The files of a container. They stay the same as long as its first process lives. */
type Files = { group: Cgroup; files: [StatFile, string][]; paths: string[] }

/** By host and first process. */
const knownFiles = new WeakMap<Host, Map<number, Files>>()

/** Those of processes that are gone are forgotten when there are more than this. */
const mostKnown = 20_000

function filesOf(group: Cgroup, pid: number): Files {
  const files = statFilesOf(group, pid)
  return { group, files, paths: [...new Set(files.map(([, path]) => path))] }
}

/** Finds the files of processes that are not known yet. */
async function findFiles(host: Host, read: ReadTexts, wanted: readonly Measured[]): Promise<Map<number, Files>> {
  const known = knownFiles.get(host) ?? new Map<number, Files>()
  knownFiles.set(host, known)
  if (known.size > mostKnown) known.clear()
  const unknown = wanted.map(({ pid }) => pid).filter((pid) => !known.has(pid))
  if (unknown.length === 0) return known
  const [texts, hierarchies] = await Promise.all([
    read(unknown.map((pid) => `/proc/${pid}/cgroup`)),
    hierarchiesOf(host),
  ])
  for (const pid of unknown) {
    const group = cgroupIn(texts.get(`/proc/${pid}/cgroup`) ?? '', hierarchies)
    if (group) known.set(pid, filesOf(group, pid))
  }
  return known
}

/** The version of the groups, such as `cgroup v2`; of a hybrid both. */
const sourceOf = (group: Cgroup): string =>
  `cgroup ${[...new Set(Object.values(group).map(({ version }) => `v${version}`))].toSorted().join(' and ')}`

/** Measures containers from the files of the kernel, all of them in one go. One that has just ended has no sample. */
export async function sampleAll(host: Host, read: ReadTexts, wanted: readonly Measured[]): Promise<ContainerSample[]> {
  const known = await findFiles(host, read, wanted)
  const found = wanted.flatMap((each) => {
    const files = known.get(each.pid)
    return files ? [{ ...each, ...files }] : []
  })
  const texts = await read(found.flatMap(({ paths }) => paths))
  return found.flatMap(({ id, pid, sharesNetwork, group, files }) => {
    const own = Object.fromEntries(files.map(([name, path]) => [name, texts.get(path)]))
    const start = startIn(own['process'])
    // A process that has ended frees its number: another one may have it by now.
    if (start === null || (own['memory'] ?? own['cpu'] ?? own['pids']) === undefined) {
      known.delete(pid)
      return []
    }
    return [{ id, run: `${pid}/${start}`, source: sourceOf(group), values: statValuesIn(group, own, sharesNetwork) }]
  })
}

const measuredOf = ({ id, pid, networks }: ContainerRecord): Measured[] =>
  pid === null ? [] : [{ id, pid, sharesNetwork: networks.some(({ name }) => name === 'host') }]

/** A message on the bus holds at most a megabyte. */
const pageSize = 1000

type Page = { data: ContainerSample[]; next: string | null }

/** The running containers of a node, measured now. @throws UnavailableError when the node does not answer */
export async function measureContainers({ node, after }: { node: string; after?: string }): Promise<Page> {
  const { host, node: reached } = await reach(node)
  const filter = { node, status: { $in: ['running', 'paused'] }, ...(after !== undefined && { _id: { $gt: after } }) }
  const running = await containerRecords.all(filter, pageSize)
  const read = reached.kind === 'local' ? readLocal : readRemote(host)
  const data = await sampleAll(host, read, running.flatMap(measuredOf))
  return { data, next: running.length < pageSize ? null : running.at(-1)!.id }
}
