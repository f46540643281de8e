import { call } from '#shared/bus/call.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { Container, containers } from '#shared/contracts/container/containers.ts'
import { alreadyExists, ConflictError, invalid, type Violation } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Accepting, operation } from '#shared/operation/kinds.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { Copy } from '../drivers/parts.ts'
import { contradictions, register, removeMade } from '../lifecycle/create.ts'
import { waysToNode } from '../lifecycle/mounts.ts'
import { giveRoomBack, reserveRoom, type Room, takeRoom } from '../lifecycle/room.ts'
import { apiPathOf, type ContainerRecord, containerRecords, nameKeyOf, viewOf } from '../model.ts'
import { requireStatus, settle, settledForChange } from '../state/settle.ts'

type Given = Params<typeof containers, 'clone'>
type Input = { source: string; copy: Copy; room: Room | null }

/** @throws ConflictError for an engine without copies */
function copyingOf(container: ContainerRecord) {
  const { copying } = driverOf(container)
  if (copying) return copying
  throw new ConflictError(`Container '${container.id}' cannot be cloned: its engine makes no copies`)
}

async function prepared(given: Given, target: string, accepting: Accepting): Promise<ContainerRecord> {
  const { id, target_name: name, snapshot, resource_pool } = given
  await accepting.share(apiPathOf(id))
  await accepting.hold(apiPathOf(target))
  requireRight(accepting, 'ContainerConfig', apiPathOf(id))
  const source = await settledForChange(id, 'clone')
  const { onlyStopped } = copyingOf(source)
  const isOfSnapshot = snapshot !== undefined
  requireStatus(source, 'clone', onlyStopped && !isOfSnapshot ? ['stopped'] : ['stopped', 'running', 'paused'])
  const { node, runtime } = source
  if ((await waysToNode(await reach(node), source)).length > 0)
    requireRight(accepting, 'ContainerPrivileged', apiPathOf(target))
  await accepting.reserve(nameKeyOf({ node, runtime, name }))
  if (await containerRecords.get(target)) throw alreadyExists(target, { field: 'target_id' })
  if (await containerRecords.find({ node, runtime, name })) throw alreadyExists(name, { field: 'target_name' })
  const violations: Violation[] = contradictions({ name, runtime }).map((one) => ({ ...one, field: 'target_name' }))
  if (isOfSnapshot) violations.push(...(await withoutSnapshot(source, snapshot)))
  if (resource_pool !== undefined)
    await checking('resource_pool', violations, () => call(resourcePools, 'get', { id: resource_pool }))
  throwAll(violations)
  return source
}

async function withoutSnapshot(source: ContainerRecord, name: string): Promise<Violation[]> {
  const { snapshots } = driverOf(source)
  if (!snapshots) return [{ field: 'snapshot', code: 'unsupported', message: 'this engine makes no snapshots' }]
  const isThere = (await snapshots.list(source)).some((one) => one.name === name)
  return isThere ? [] : [{ field: 'snapshot', code: 'not_found', message: `the container has no snapshot '${name}'` }]
}

/** Takes room for the copy: it counts as much as the first one. */
async function roomFor(given: Given, id: string, { memory, cpus, pids }: ContainerRecord, operationId: string) {
  if (given.resource_pool === undefined) return null
  return reserveRoom(given.resource_pool, { id, memory, cpus, pids }, operationId)
}

export const clone = operation({
  accept: async (given: Given, accepting): Promise<Input> => {
    const { id, target_id = newId(), target_name: name, snapshot = null } = given
    if (id === target_id) throw invalid('target_id', 'must be another id')
    const source = await prepared(given, target_id, accepting)
    const room = await roomFor(given, target_id, source, accepting.operationId)
    return { source: source.id, copy: { id: target_id, name, snapshot }, room }
  },
  run: async (op, { source: id, copy, room }): Promise<Container> => {
    const source = await op.step('reading container', () => containerRecords.require(id))
    const { node, runtime } = source
    const made = { id: copy.id, name: copy.name, node, runtime, rootfs: source.rootfs }
    if (room) await op.step(`taking room in ${room.pool}`, () => takeRoom(room), { undo: () => giveRoomBack(room) })
    const copying = copyingOf(source)
    const engine_id = await op.step('copying container', () => copying.create(source, copy), {
      undo: async (known?: string) => {
        await removeMade(made, known)
        await copying.tidy(source, copy)
      },
    })
    await register(op, made, engine_id)
    return viewOf(await settle(copy.id))
  },
})
