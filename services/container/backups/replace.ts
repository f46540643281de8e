import type { Params } from '#shared/contract/contract.ts'
import type { containerArchives } from '#shared/contracts/container/container-archives.ts'
import type { Container } from '#shared/contracts/container/containers.ts'
import type { NewMount } from '#shared/contracts/container/parts.ts'
import { ConflictError } from '#shared/errors.ts'
import { idOfSeed } from '#shared/ids.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { idLabel } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { Base } from '../drivers/parts.ts'
import { waysToNode } from '../lifecycle/mounts.ts'
import { begin } from '../lifecycle/power.ts'
import { apiPathOf, type ContainerRecord, containerRecords, nameKeyOf, viewOf } from '../model.ts'
import { asideOf, exchange, watchStart } from '../recreate/exchange.ts'
import { requireStatus, settle, settledForChange } from '../state/settle.ts'
import { loadImage } from './build.ts'
import { rootFilesOf } from './describe.ts'
import type { Foreseen } from './plan-new.ts'
import { archiveOf, savedFiles } from './source.ts'
import { fillVolume, newVolumeName } from './volumes.ts'

type Given = Params<typeof containerArchives, 'replace'>
type Input = Omit<Given, 'backup_id'> & { backup: string; isRunning: boolean; aside: string; seed: string }

/** Fields of the settings that a container keeps, and that a plan tells where they differ. */
const kept = ['name', 'node', 'labels', 'ports', 'memory', 'cpus', 'pids', 'restart_policy'] as const

/** @throws ConflictError for a container that cannot be given other files */
async function requireReplaceable(id: string): Promise<ContainerRecord> {
  const container = await settledForChange(id, 'restore')
  requireStatus(container, 'restore', ['running', 'stopped'])
  const { base } = rootFilesOf(container)
  const { recreation, rename } = driverOf(container)
  if (base.kind === 'image' && !(recreation && rename))
    throw new ConflictError(`Container '${id}' cannot be given other files: restore the backup to a new one`)
  await recreation?.check(container, {})
  return container
}

/** The places of a backup that the present container has a mount for. */
async function placesFor(backup: string, container: ContainerRecord) {
  const saved = await savedFiles(backup)
  const { hasVolumes } = rootFilesOf(container)
  const isThere = ({ target, volume }: { target: string; volume: string | null }) =>
    volume === null ||
    (hasVolumes && container.mounts.some((mount) => mount.type === 'volume' && mount.target === target))
  const places = saved.places.filter(isThere)
  const gone = saved.places.filter((place) => !isThere(place))
  return {
    saved,
    places,
    left_out: [
      ...saved.left_out,
      ...gone.map(({ target }) => ({ target, reason: 'the container has no volume there now' })),
    ],
  }
}

/** Tells the changes of a container that gets the files of a backup. Its settings stay. */
export async function foreseeSame({ backup_id, id }: { backup_id: string; id: string }): Promise<Foreseen> {
  const container = await requireReplaceable(id)
  const { saved, places, left_out } = await placesFor(backup_id, container)
  const { [idLabel]: _, ...labels } = container.labels
  const present = { ...container, labels }
  const differences = kept.flatMap((field): Foreseen['differences'] => {
    const [backup, restored] = [JSON.stringify(saved.container[field]), JSON.stringify(present[field])]
    return backup === restored ? [] : [{ field, backup, restored, reason: 'the container keeps its settings' }]
  })
  for (const { volume, target } of places)
    if (volume !== null)
      differences.push({
        field: `mounts.${target}`,
        backup: volume,
        restored: 'a new volume',
        reason: 'the present volume is kept',
      })
  const { name, node, runtime, ports } = container
  const place = { container_id: id, name, node, runtime, ports }
  return {
    ...place,
    places: places.map(({ size_bytes: _, ...one }) => one),
    left_out,
    missing_env: [],
    differences,
    needs_privilege: (await waysToNode(await reach(node), container)).length > 0,
  }
}

async function accept({ backup_id: backup, ...given }: Given, accepting: Accepting): Promise<Input> {
  await accepting.hold(apiPathOf(given.id))
  const container = await requireReplaceable(given.id)
  await accepting.reserve(nameKeyOf(container))
  const seed = idOfSeed(accepting.operationId, 'volumes')
  return { ...given, backup, isRunning: container.status === 'running', aside: asideOf(accepting.operationId), seed }
}

/** The mounts of the container, with new volumes in the places of those that the backup has. */
function mountsAgain(
  { mounts }: ContainerRecord,
  places: readonly { target: string; volume: string | null }[],
  seed: string,
): NewMount[] {
  return mounts.flatMap(({ type, source, target, read_only }): NewMount[] => {
    if (source === null || (type !== 'bind' && type !== 'volume')) return []
    const isRestored = type === 'volume' && places.some((place) => place.volume !== null && place.target === target)
    return [{ type, source: isRestored ? newVolumeName(source, seed) : source, target, read_only }]
  })
}

/** Makes the container anew of an image of the backup: the old one is put back when that fails. */
async function byImage(op: Op, input: Input, before: ContainerRecord): Promise<void> {
  const { backup, isRunning, start, timeout, watch, aside, seed } = input
  const { node, runtime } = before
  const image = await loadImage(op, { backup, node, runtime })
  const { saved, places } = await placesFor(backup, before)
  const hasVolumes = places.some(({ volume }) => volume !== null)
  const changes = { image: image!, ...(hasVolumes && { mounts: mountsAgain(before, places, seed) }) }
  const fill = async (engine_id: string) => {
    for (const { id: place, target, volume } of places)
      if (volume !== null) await fillVolume({ ...before, engine_id }, { backup, saved, place, target }, op.signal)
  }
  await exchange(op, before, {
    changes,
    wasRunning: isRunning,
    isStarted: isRunning || start,
    timeout,
    watch,
    aside,
    fill,
  })
  const { base } = rootFilesOf(before)
  if (base.kind === 'image') await op.step('tidying image', async () => base.tidy(await reach(node), image!))
}

/** Puts the root file system of the backup in the place of the present one, which is kept until the container has started. */
async function bySwap(
  op: Op,
  input: Input,
  before: ContainerRecord,
  base: Base & { kind: 'container' },
): Promise<void> {
  const { backup, isRunning, start, timeout, watch } = input
  const driver = driverOf(before)
  const put = async () => base.putBeside(before, archiveOf(backup, await savedFiles(backup), 'root', op.signal).source)
  await op.step('unpacking files', put, { undo: () => base.removeOther(before) })
  if (isRunning)
    await op.step('stopping container', () => driver.stop(before, { graceSeconds: timeout }), {
      undo: () => begin(before),
    })
  await op.step('swapping files', () => base.swap(before), { undo: () => base.swapBack(before) })
  if (isRunning || start) {
    await op.step('starting container', () => begin(before), { undo: () => driver.stop(before, { graceSeconds: 0 }) })
    await op.step('watching container', () => watchStart(before, before, watch, op))
  }
  await op.commit()
  await op.step('removing the old files', () => base.removeOther(before))
}

async function run(op: Op, input: Input): Promise<Container> {
  const before = await op.step('reading container', async () => containerRecords.require(input.id))
  const { base } = rootFilesOf(before)
  if (base.kind === 'container') await bySwap(op, input, before, base)
  else await byImage(op, input, before)
  return viewOf(await settle(input.id))
}

export const replace = operation({ accept, run })
