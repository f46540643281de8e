import type { Params } from '#shared/contract/contract.ts'
import type { Container } from '#shared/contracts/container/containers.ts'
import type { containerArchives } from '#shared/contracts/container/container-archives.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import type { Definition } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import { register, removeMade } from '../lifecycle/create.ts'
import { begin } from '../lifecycle/power.ts'
import { giveRoomBack, reserveRoom, type Room, takeRoom } from '../lifecycle/room.ts'
import { apiPathOf, containerRecords, nameKeyOf, viewOf } from '../model.ts'
import { settle } from '../state/settle.ts'
import { rootFilesOf } from './describe.ts'
import { planNew } from './plan-new.ts'
import { archiveOf, type SavedFiles, savedFiles } from './source.ts'
import { fillVolume, volumePlaces } from './volumes.ts'

type Given = Params<typeof containerArchives, 'build'>
type Input = {
  backup: string
  definition: Definition
  runtime: Container['runtime']
  start: boolean
  room: Room | null
}

/** The image that containers of a backup are made of. Podman takes no tag for an archive, and names have small letters. */
const imageNameOf = (backup: string): string => `horcrux-restored-${backup.toLowerCase()}-files`

async function accept(given: Given, accepting: Accepting): Promise<Input> {
  const { definition, runtime } = await planNew(given)
  const { id, name, node, memory, cpus, pids } = definition
  await accepting.hold(apiPathOf(id))
  await accepting.reserve(nameKeyOf({ node, runtime, name }))
  const { resource_pool: pool } = given
  const room = pool === undefined ? null : await reserveRoom(pool, { id, memory, cpus, pids }, accepting.operationId)
  return { backup: given.backup_id, definition, runtime, start: given.start, room }
}

/** Makes the image of a backup on a node, as a step. @returns null for an engine that takes the files at once */
export async function loadImage(
  op: Op,
  { backup, node, runtime }: { backup: string; node: string; runtime: Container['runtime'] },
): Promise<string | null> {
  const { base } = rootFilesOf({ id: backup, runtime })
  if (base.kind !== 'image') return null
  const name = imageNameOf(backup)
  const load = async () => {
    const saved = await savedFiles(backup)
    const archive = archiveOf(backup, saved, 'root', op.signal)
    const how = { signal: op.signal, progress: op.progress }
    return base.load(await reach(node), archive, name, saved.container.settings, how)
  }
  await op.step('making image', load, { undo: async () => base.tidy(await reach(node), name) })
  return name
}

/** Makes the container, with its own root file system where the engine takes that at once. */
async function create({ backup, definition, runtime }: Input, saved: SavedFiles, image: string | null, op: Op) {
  const { base } = rootFilesOf({ id: definition.id, runtime })
  if (base.kind === 'container') return base.create(definition, archiveOf(backup, saved, 'root', op.signal).source)
  return driverOf({ runtime }).create({ ...definition, image })
}

async function run(op: Op, input: Input): Promise<Container> {
  const { backup, definition, runtime, start, room } = input
  const { id, name, node } = definition
  const made = { ...definition, runtime }
  const saved = await savedFiles(backup)
  if (room) await op.step(`taking room in ${room.pool}`, () => takeRoom(room), { undo: () => giveRoomBack(room) })
  const image = await loadImage(op, { backup, node, runtime })
  const engine_id = await op.step('creating container', () => create(input, saved, image, op), {
    undo: (known?: string) => removeMade(made, known),
  })
  const ref = { id, name, node, runtime, engine_id }
  for (const { id: place, target } of volumePlaces(saved, definition))
    await op.step(`filling ${target}`, () => fillVolume(ref, { backup, saved, place, target }, op.signal))
  await register(op, made, engine_id)
  const { base } = rootFilesOf(ref)
  if (image !== null && base.kind === 'image')
    await op.step('tidying image', async () => base.tidy(await reach(node), image))
  // A start that fails leaves the restored container.
  await op.commit()
  if (start) await op.step('starting container', async () => begin(await containerRecords.require(id)))
  return viewOf(await settle(id))
}

export const build = operation({ accept, run })
