import { call } from '#shared/bus/call.ts'
import { type Footprint, resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { NotFoundError } from '#shared/errors.ts'
import type { Op } from '#shared/operation/kinds.ts'

/** A reservation whose operation was never accepted ends after this long. */
const orphanMs = 30_000

type Sized = Pick<Vm, 'id' | 'cpus' | 'memory'> & { disks: { size_bytes: number }[] }

/** The amounts that a VM takes of the resource pools that it is in. */
const footprintOf = ({ cpus, memory, disks }: Sized): Footprint => ({
  cpus,
  memory,
  disk: disks.reduce((sum, { size_bytes }) => sum + size_bytes, 0),
})

const isSame = (a: Footprint, b: Footprint) => a.cpus === b.cpus && a.memory === b.memory && a.disk === b.disk

/** A reservation for a VM in a resource pool. */
export type Room = Footprint & { pool: string; kind: 'vm'; id: string }

/**
 * Reserves amounts for a VM that is about to be made, for a short time: its operation makes the reservation permanent.
 * @throws ConflictError naming the limit, the used and the wanted amount, when the pool is full
 */
async function findRoom(pool: string, vm: Sized, operation: string): Promise<Room> {
  const room = { pool, kind: 'vm' as const, id: vm.id, ...footprintOf(vm) }
  const until = new Date(Date.now() + orphanMs).toISOString()
  await call(resourcePools, 'reserve', { ...room, reserved: { until, by: operation } })
  return room
}

export const takeRoom = (room: Room) => call(resourcePools, 'reserve', room)
export const giveRoomBack = ({ kind, id }: Room) => call(resourcePools, 'release', { kind, member: id })

/** The step that makes a reservation permanent. It is the first one, so that the end of the operation finds it, or its undo. */
export const takeRoomIn = (op: Op, room: Room) =>
  op.step(`taking room in ${room.pool}`, () => takeRoom(room), { undo: () => giveRoomBack(room) })

/** Cancels a reservation that this operation has not made permanent. */
const forgetRoom = ({ pool, kind, id }: Room, operation: string) =>
  call(resourcePools, 'cancel', { pool, kind, id, by: operation })

/**
 * Prepares a VM while its amounts are reserved in a resource pool. The reservation comes first: a full pool refuses many
 * requests at once, and nothing else needs to be checked for these.
 */
export async function preparedInRoom<T extends { vm: Sized }>(
  pool: string,
  wanted: Sized,
  operation: string,
  prepare: () => Promise<T>,
): Promise<T & { room: Room }> {
  const room = await findRoom(pool, wanted, operation).catch((error: unknown) => {
    if (error instanceof NotFoundError) return undefined
    throw error
  })
  try {
    const prepared = await prepare()
    const isSo = room && isSame(room, footprintOf(prepared.vm))
    // Only now the sizes of existing disks are known.
    return { ...prepared, room: isSo ? room : await findRoom(pool, prepared.vm, operation) }
  } catch (error) {
    if (room) await forgetRoom(room, operation)
    throw error
  }
}

/** Counts the amounts of a VM anew in its resource pools. @throws ConflictError when a pool is full */
export const countRoom = (vm: Sized) => call(resourcePools, 'recount', { kind: 'vm', id: vm.id, ...footprintOf(vm) })

/** Checks that a VM may get other amounts, and keeps nothing reserved. @throws ConflictError when a pool is full */
export const requireRoom = (before: Sized, after: Sized, read: () => Promise<Sized>) =>
  withRoom(before, after, async () => undefined, read)

/**
 * Changes a VM to other amounts. Before the change, the larger of the old and new amounts are counted, so that a crash
 * leaves too much counted and never too little, until the VM's next change.
 * @param read reads the VM as it is after the change and those of others
 * @throws ConflictError when a resource pool is full
 */
export async function withRoom<T>(
  before: Sized,
  after: Sized,
  change: () => Promise<T>,
  read: () => Promise<Sized>,
): Promise<T> {
  const [from, to] = [footprintOf(before), footprintOf(after)]
  if (isSame(from, to)) return change()
  const recount = (amounts: Footprint) => call(resourcePools, 'recount', { kind: 'vm', id: before.id, ...amounts })
  await recount({
    cpus: Math.max(from.cpus, to.cpus),
    memory: Math.max(from.memory, to.memory),
    disk: Math.max(from.disk, to.disk),
  })
  try {
    return await change()
  } finally {
    let counted: Footprint | undefined
    for (let now = footprintOf(await read()); !counted || !isSame(counted, now); now = footprintOf(await read())) {
      counted = now
      await recount(now)
    }
  }
}
