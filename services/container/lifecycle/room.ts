import { call } from '#shared/bus/call.ts'
import { type Footprint, resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { Limits } from '#shared/contracts/container/parts.ts'

/** A reservation whose operation was never accepted ends after this long. */
const orphanMs = 30_000

type Sized = { id: string } & Limits

/** The amounts that a container takes of the resource pools that it is in: resource pools count whole processors. */
const footprintOf = ({ cpus, memory }: Limits): Footprint => ({
  cpus: Math.ceil(cpus ?? 0),
  memory: memory ?? 0,
  disk: 0,
})

/** A reservation for a container in a resource pool. */
export type Room = Footprint & { pool: string; kind: 'container'; id: string }

/**
 * Reserves amounts for a container that is about to be made, for a short time: its operation makes the reservation
 * permanent.
 * @throws ConflictError naming the limit, the used and the wanted amount, when the resource pool is full
 */
export async function reserveRoom(pool: string, container: Sized, operation: string): Promise<Room> {
  const room = { pool, kind: 'container' as const, id: container.id, ...footprintOf(container) }
  const until = new Date(Date.now() + orphanMs).toISOString()
  await call(resourcePools, 'reserve', { ...room, reserved: { until, by: operation } })
  return room
}

export const takeRoom = (room: Room) => call(resourcePools, 'reserve', room)
export const giveRoomBack = ({ kind, id }: Room) => call(resourcePools, 'release', { kind, member: id })
/** Cancels a reservation that this operation has not made permanent. */
export const forgetRoom = ({ pool, kind, id }: Room, operation: string) =>
  call(resourcePools, 'cancel', { pool, kind, id, by: operation })

/**
 * Changes a container to other amounts. Before the change, the larger of the old and new amounts are counted, so that a
 * crash leaves too much counted and never too little, until its next change.
 * @throws ConflictError when a resource pool is full
 */
export async function withRoom(before: Sized, after: Sized, change: () => Promise<void>): Promise<void> {
  const [from, to] = [footprintOf(before), footprintOf(after)]
  if (from.cpus === to.cpus && from.memory === to.memory) return change()
  const { id } = before
  const recount = (amounts: Footprint) => call(resourcePools, 'recount', { kind: 'container', id, ...amounts })
  await recount({ cpus: Math.max(from.cpus, to.cpus), memory: Math.max(from.memory, to.memory), disk: 0 })
  try {
    await change()
  } catch (error) {
    await recount(from)
    throw error
  }
  await recount(to)
}
