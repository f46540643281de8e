import type { ContainerSample } from '#shared/contracts/metrics/monitoring.ts'
import { type Cgroup, cgroupIn } from '#shared/nodes/cgroup.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type ContainerRecord, containerRecords } from '../model.ts'
import { readLocal, readRemote, type ReadTexts } from './read.ts'
import { startIn, type StatFile, statFilesOf, statValuesIn } from './values.ts'

type Measured = { id: string; pid: number; sharesNetwork: boolean }
/** The files of a container. They stay the same as long as its first process lives. */
type Place = { version: 1 | 2; files: [StatFile, string][]; paths: string[] }

/** By host and first process. */
const places = new WeakMap<Host, Map<number, Place>>()

/** Those of processes that are gone are forgotten when there are more than this. */
const mostPlaces = 20_000

function placeOf(group: Cgroup, pid: number): Place {
  // Each name has its path.
  const files = Object.entries(statFilesOf(group, pid)) as [StatFile, string][]
  return { version: group.version, files, paths: [...new Set(files.map(([, path]) => path))] }
}

/** Finds the places of processes that are not known yet. */
async function findPlaces(host: Host, read: ReadTexts, wanted: readonly Measured[]): Promise<Map<number, Place>> {
  const known = places.get(host) ?? new Map<number, Place>()
  places.set(host, known)
  if (known.size > mostPlaces) known.clear()
  const unknown = wanted.map(({ pid }) => pid).filter((pid) => !known.has(pid))
  const texts = await read(unknown.map((pid) => `/proc/${pid}/cgroup`))
  for (const pid of unknown) {
    const group = cgroupIn(texts.get(`/proc/${pid}/cgroup`) ?? '')
    if (group) known.set(pid, placeOf(group, pid))
  }
  return known
}

/** Measures containers from the files of the kernel, all of them in one go. One that has just ended has no sample. */
export async function sampleAll(host: Host, read: ReadTexts, wanted: readonly Measured[]): Promise<ContainerSample[]> {
  const known = await findPlaces(host, read, wanted)
  const found = wanted.flatMap((each) => {
    const place = known.get(each.pid)
    return place ? [{ ...each, place }] : []
  })
  const texts = await read(found.flatMap(({ place }) => place.paths))
  return found.flatMap(({ id, pid, sharesNetwork, place }) => {
    const own = Object.fromEntries(place.files.map(([name, path]) => [name, texts.get(path)]))
    const start = startIn(own['process'])
    // A process that has ended frees its number: another one may have it by now.
    if (start === null || own['memory'] === undefined) {
      known.delete(pid)
      return []
    }
    const values = statValuesIn(place.version, own, sharesNetwork)
    return [{ id, run: `${pid}/${start}`, source: `cgroup v${place.version}`, values }]
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
