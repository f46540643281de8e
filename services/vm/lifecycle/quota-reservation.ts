import { call } from '#shared/bus/call.ts'
import { type Footprint, resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { NotFoundError } from '#shared/errors.ts'

/** Room that is reserved for an operation that never came to be is free after this long. Milliseconds. */
const orphanMs = 30_000

type Sized = Pick<Vm, 'id' | 'cpus' | 'memory'> & { disks: { size_bytes: number }[] }

/** What a VM takes of the resource pools that it is in. */
const footprintOf = ({ cpus, memory, disks }: Sized): Footprint => ({
  cpus,
  memory,
  disk: disks.reduce((sum, { size_bytes }) => sum + size_bytes, 0),
})

const isSame = (a: Footprint, b: Footprint) => a.cpus === b.cpus && a.memory === b.memory && a.disk === b.disk

/** Room that has been found for a VM in its resource pool. */
export type Room = Footprint & { pool: string; kind: 'vm'; id: string }

/**
 * Finds room for a VM that is about to be made, and keeps it for a moment: until its operation takes it for good.
 * @throws ConflictError naming the limit, what is used and what is wanted, when there is none
 */
async function findRoom(pool: string, vm: Sized, operation: string): Promise<Room> {
  const room = { pool, kind: 'vm' as const, id: vm.id, ...footprintOf(vm) }
  const until = new Date(Date.now() + orphanMs).toISOString()
  await call(resourcePools, 'reserve', { ...room, reserved: { until, by: operation } })
  return room
}

export const takeRoom = (room: Room) => call(resourcePools, 'reserve', room)
export const giveRoomBack = ({ kind, id }: Room) => call(resourcePools, 'release', { kind, member: id })

/** Gives back what was only found, by this operation. */
const forgetRoom = ({ pool, kind, id }: Room, operation: string) =>
  call(resourcePools, 'cancel', { pool, kind, id, by: operation })

/**
 * Prepares a VM with its room in a resource pool kept: looked for first, because a full pool refuses many at once, and
 * nothing else needs to be looked at for these.
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
    // Now the disks that were there before are known by their sizes as well.
    return { ...prepared, room: isSo ? room : await findRoom(pool, prepared.vm, operation) }
  } catch (error) {
    if (room) await forgetRoom(room, operation)
    throw error
  }
}

/** Counts what a VM takes as it is given, in the resource pools that it is in. @throws ConflictError without room for it */
export const countRoom = (vm: Sized) => call(resourcePools, 'recount', { kind: 'vm', id: vm.id, ...footprintOf(vm) })

/** @throws ConflictError when a VM has no room to become another size; nothing is kept of the question */
export const requireRoom = (before: Sized, after: Sized, read: () => Promise<Sized>) =>
  withRoom(before, after, async () => undefined, read)

/**
 * Changes a VM to other amounts, counted in its resource pools: all that it takes on the way is counted first, so that a
 * crash at any time leaves too much counted and never too little, until its next change.
 * @param read the VM as it is then, whoever else changes it at the same time
 * @throws ConflictError when a resource pool has no room
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
