import { moves } from '#shared/contracts/vm/moves.ts'
import { ConflictError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { implement } from '#shared/service/implement.ts'
import { driverOf } from '../drivers/drivers.ts'
import { removeSeed } from '../cloudinit/seed.ts'
import { runOn } from '../fencing/boots.ts'
import { claim, stopGuard } from '../fencing/claim.ts'
import { giveSecrets } from '../hardware/secrets.ts'
import { viewOf, vmRecords } from '../model.ts'
import { bootIdOf } from '../state/boot-id.ts'
import { settle } from '../state/status.ts'
import { check } from './check.ts'
import { halt, startOn } from './power.ts'
import { memory } from './memory.ts'
import { probe } from './probe.ts'
import { settleMove } from './settle.ts'
import { disksAt, filesAt, movedDisks, movesOf, seedAt } from './target.ts'
import { transfer } from './transfer.ts'

export const moveService = implement(moves, {
  check,
  transfer,
  settle: settleMove,

  begin: async ({ id, target, operation }) => {
    const { status } = await settle(id)
    await vmRecords.change(id, () => ({ set: { moving: { operation, target, runs: status !== 'stopped' } } }))
    const vm = await vmRecords.require(id)
    // The target needs the secrets of network disks before the guest comes.
    await giveSecrets({ ...vm, node: target })
    // Both sides are guarded under one epoch, so that a failover can end the guest on either.
    await claim({ ...vm, node: target })
    return { is_paused: status === 'paused', is_off: status === 'stopped' }
  },

  halt,
  probe,
  memory,
  progress: async ({ id }) => {
    const vm = await vmRecords.require(id)
    const numbers = await movesOf(vm).progress(vm)
    return numbers && { ...numbers, post_copy_at: vm.moving?.post_copy?.at ?? null }
  },

  start: async ({ id, node, is_paused }) => {
    const vm = { ...(await vmRecords.require(id)), node }
    const { status } = await driverOf(vm).status(vm)
    if (status === 'stopped') await startOn(vm)
    if (is_paused) await driverOf(vm).power?.pause(vm)
    await settle(id)
    return null
  },

  announce: async ({ id }) => {
    const vm = await vmRecords.require(id)
    if (vm.status === 'running') await movesOf(vm).announce(vm)
    return null
  },

  carry: async ({ id, target, disks: wanted }) => {
    const vm = await vmRecords.require(id)
    if (vm.node === target) return null
    const disks = await disksAt(vm, target, wanted)
    await movesOf(vm).carry(vm, { target, disks: movedDisks(disks, wanted), files: await filesAt(vm, target) })
    return null
  },

  take: async ({ id, target, disks: wanted }) => {
    const vm = await vmRecords.require(id)
    if (vm.node === target) return viewOf(vm)
    const disks = await disksAt(vm, target, wanted)
    const seed = await seedAt(vm, target)
    const boot_id = vm.boot_id === null ? null : await bootIdOf({ ...vm, node: target })
    const data = { vm_id: id, name: vm.name, source_node: vm.node, target_node: target, timestamp: now() }
    // It ran when the move began. A guest that ends with the target before it was seen to run there is lost.
    const ha = vm.ha && vm.moving?.runs ? { ha: { ...vm.ha, ran: await runOn(target) } } : {}
    const set = { node: target, disks, seed, boot_id, moving: undefined, ...ha }
    const taken = await vmRecords.updateWhere(
      { _id: id, node: vm.node, version: vm.version },
      { set, events: [event('VmMigrated', data)] },
    )
    if (!taken) throw new ConflictError(`The record of '${id}' has changed meanwhile`, { retryable: true })
    return viewOf(await settle(id))
  },

  forget: async ({ id, node }) => {
    const vm = await vmRecords.require(id)
    // Never the node that has it.
    if (vm.node === node) throw new ConflictError(`Virtual machine '${id}' is on node '${node}'`)
    await driverOf(vm).undefine({ ...vm, node })
    await stopGuard({ ...vm, node })
    await removeSeed({ id, node })
    return null
  },

  end: async ({ id, operation }) => {
    const vm = await vmRecords.get(id)
    if (vm?.moving?.operation === operation) await vmRecords.change(id, () => ({ set: { moving: undefined } }))
    if (vm) await settle(id)
    return null
  },
})
