import type { Params, Result } from '#shared/contract/contract.ts'
import type { containerArchives } from '#shared/contracts/container/container-archives.ts'
import type { Mount } from '#shared/contracts/container/parts.ts'
import type { LeftOut, SavedContainer, SavedPlace } from '#shared/contracts/container/saved-container.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { idLabel } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { RootFiles } from '../drivers/parts.ts'
import { givingStream } from '../files/stream.ts'
import { type ContainerRecord, containerRecords } from '../model.ts'
import { requireManaged, requireStatus, settle } from '../state/settle.ts'
import { keepStream } from '../streams/running.ts'

type Archives = typeof containerArchives

const pageSize = 500

/** @throws ConflictError for an engine whose containers are not backed up */
export function rootFilesOf(container: Pick<ContainerRecord, 'id' | 'runtime'>): RootFiles {
  const { rootFiles } = driverOf(container)
  if (rootFiles) return rootFiles
  throw new ConflictError(`Container '${container.id}' cannot be backed up: its engine does not give its files`)
}

/** Divides the mounts of a container into the volumes that a backup has, and the folders that it does not have. */
export function placesOf(mounts: readonly Mount[], hasVolumes: boolean): { places: SavedPlace[]; left_out: LeftOut[] } {
  const places: SavedPlace[] = [{ id: 'root', target: '/', volume: null }]
  const left_out: LeftOut[] = []
  // An engine may list them in another order each time, and their places are named by the order.
  const sorted = mounts.toSorted((a, b) => (a.target < b.target ? -1 : 1))
  for (const { type, source, target } of sorted) {
    if (type === 'volume' && source !== null && hasVolumes)
      places.push({ id: `volume-${places.length}`, target, volume: source })
    else if (type === 'volume') left_out.push({ target, reason: 'its engine gives no content of volumes' })
    else if (type === 'bind') left_out.push({ target, reason: `it is the folder '${source}' of the node` })
    else left_out.push({ target, reason: `it is a mount of type ${type}` })
  }
  return { places, left_out }
}

async function requireReadable(id: string): Promise<ContainerRecord> {
  requireManaged(await containerRecords.require(id), 'back up')
  const container = await settle(id)
  requireStatus(container, 'back up', ['running', 'stopped', 'paused'])
  return container
}

export async function describe({ id }: Params<Archives, 'describe'>): Promise<Result<Archives, 'describe'>> {
  const container = await requireReadable(id)
  const files = rootFilesOf(container)
  const { settings, env } = await files.settings(container)
  const { [idLabel]: _, ...labels } = container.labels
  const own = env ?? container.env
  const { name, node, runtime, image, command, memory, cpus, pids, mounts, ports, status } = container
  const { restart_policy, health_check, privileged, created_at } = container
  const described: SavedContainer = {
    id,
    name,
    node,
    runtime,
    image,
    settings,
    command,
    env: own,
    env_names: Object.keys(own),
    labels,
    memory,
    cpus,
    pids,
    mounts,
    ports,
    networks: container.networks.map((network) => network.name),
    restart_policy,
    health_check,
    privileged,
    status,
  }
  return { container: described, ...placesOf(mounts, files.hasVolumes), created_at }
}

/** Begins to read a part of the files of a container, in this replica. */
export async function open({ id, place }: Params<Archives, 'open'>): Promise<Result<Archives, 'open'>> {
  const container = await requireReadable(id)
  const files = rootFilesOf(container)
  const found = placesOf(container.mounts, files.hasVolumes).places.find((each) => each.id === place)
  if (!found) throw new NotFoundError(`Container '${id}' does not have the mount of ${place} any more`)
  const source = await (found.volume === null
    ? files.read(container)
    : driverOf(container).files.read(container, `${found.target}/.`))
  const stream_id = newId()
  keepStream(stream_id, { process: givingStream(source), signal: null, kill: null })
  return { stream_id, replica: requestContext()!.broker.nodeID }
}

/** Lists the containers that can be backed up. */
export async function list({ after }: Params<Archives, 'list'>): Promise<Result<Archives, 'list'>> {
  const managed = await containerRecords.all({ managed: true, ...(after !== undefined && { _id: { $gt: after } }) })
  const sorted = managed.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const page = sorted.slice(0, pageSize)
  return {
    data: page
      .filter((container) => driverOf(container).rootFiles)
      .map(({ id, name, node, labels, created_at }) => ({ id, name, node, labels, created_at })),
    next: sorted.length > pageSize ? page.at(-1)!.id : null,
  }
}
