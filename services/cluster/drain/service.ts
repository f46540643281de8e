import { call } from '#shared/bus/call.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import { type DrainPlan, drains } from '#shared/contracts/cluster/drains.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { ConflictError } from '#shared/errors.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import { requirePlan } from '#shared/service/plan.ts'
import { nodeRecords } from '../nodes/model.ts'
import { loadWorld } from '../placement/load.ts'
import { setMaintenance } from './maintenance.ts'
import { forgetHomes, homesOf, recordHomes } from './model.ts'
import { type Move, moveAll } from './moves.ts'
import { planMoves } from './plan.ts'

type Drain = Omit<Params<typeof drains, 'drain'>, 'plan'>
type Restore = Omit<Params<typeof drains, 'restore'>, 'plan'>
type Outcome = Result<typeof drains, 'drain'>
/** `maintenance`: as the operation found it. */
type Input = { id: string; moves: Move[]; skipped: DrainPlan['stays']; bandwidthMib: number; maintenance: boolean }

const bandwidthOf = async (given: number | undefined) =>
  given ?? (await call(migrations, 'settings', {}, { isQuestion: true })).bandwidth_limit

async function planDrain({ id, stopped, bandwidth_limit }: Drain): Promise<DrainPlan> {
  const { status, status_reason } = await nodeRecords.require(id)
  if (status === 'offline')
    throw new ConflictError(`Node '${id}' is offline, so that no guest can be moved off it: ${status_reason}`)
  const [world, bandwidthMib] = await Promise.all([loadWorld({ withFeatures: true }), bandwidthOf(bandwidth_limit)])
  const own = world.vms.filter(({ node }) => node === id)
  const leaves = ({ isRunning }: { isRunning: boolean }) => isRunning || stopped === 'move'
  return planMoves(world, id, {
    movers: own.filter(leaves),
    targets: world.nodes.filter((node) => node.id !== id),
    stays: own.filter((vm) => !leaves(vm)).map((vm) => ({ vm_id: vm.id, reason: 'it is off' })),
    bandwidthMib,
  })
}

async function planRestore({ id, end_maintenance, bandwidth_limit }: Restore): Promise<DrainPlan> {
  await nodeRecords.require(id)
  const [world, bandwidthMib, homes] = await Promise.all([
    loadWorld({ withFeatures: true }),
    bandwidthOf(bandwidth_limit),
    homesOf(id),
  ])
  const home = world.nodes.find((node) => node.id === id)!
  const { maintenance, status } = await nodeRecords.require(id)
  const isOnlyMaintained = maintenance && end_maintenance && status === 'online'
  const known = homes.flatMap((vm) => world.vms.find((each) => each.id === vm) ?? [])
  return planMoves(world, id, {
    movers: known.filter(({ node }) => node !== id),
    targets: [isOnlyMaintained ? { ...home, unusable: null } : home],
    stays: known.filter(({ node }) => node === id).map((vm) => ({ vm_id: vm.id, reason: 'it is back already' })),
    bandwidthMib,
  })
}

/** @throws ConflictError with the plan, when there is no way or none was found; PreconditionFailedError for another plan */
function inputOf(plan: DrainPlan, maintenance: boolean): Input {
  requirePlan(plan)
  if (plan.status !== 'possible') {
    const why =
      plan.status === 'unknown'
        ? 'the search for places was given up'
        : plan.conflicts.map(({ constraints }) => constraints.map(({ text }) => text).join('; ')).join(' | ')
    throw new ConflictError(`No place for all guests: ${why}`, { details: { plan } })
  }
  const moves = plan.moves.map(({ vm_id, from, to, is_running }) => ({ vm_id, from, to, is_running }))
  return { id: plan.node, moves, skipped: plan.stays, bandwidthMib: plan.bandwidth_mib_s, maintenance }
}

type DrainInput = Input & { wants: boolean }

const drain = operation({
  accept: async ({ plan: _, ...wish }: Params<typeof drains, 'drain'>, { hold }): Promise<DrainInput> => {
    await hold(`/api/cluster/nodes/${wish.id}`)
    const { maintenance } = await nodeRecords.requireForChange(wish.id)
    return { ...inputOf(await planDrain(wish), maintenance), wants: wish.maintenance || maintenance }
  },
  run: async (op: Op, { id, moves, skipped, bandwidthMib, maintenance, wants }: DrainInput): Promise<Outcome> => {
    await setMaintenance(op, id, wants, maintenance)
    const leaving = moves.map(({ vm_id }) => vm_id)
    await op.step('recording homes', () => recordHomes(id, leaving))
    const outcome = await moveAll(op, moves, { bandwidthMib, reason: `drain of ${id}` })
    return { moved: outcome.moved, skipped: [...outcome.skipped, ...skipped] }
  },
})

const restore = operation({
  accept: async ({ plan: _, ...wish }: Params<typeof drains, 'restore'>, { hold }): Promise<DrainInput> => {
    await hold(`/api/cluster/nodes/${wish.id}`)
    const { maintenance } = await nodeRecords.requireForChange(wish.id)
    return { ...inputOf(await planRestore(wish), maintenance), wants: maintenance && !wish.end_maintenance }
  },
  run: async (op: Op, { id, moves, skipped, bandwidthMib, maintenance, wants }: DrainInput): Promise<Outcome> => {
    await setMaintenance(op, id, wants, maintenance)
    const outcome = await moveAll(op, moves, { bandwidthMib, reason: `return to ${id}` })
    const settled = [...outcome.moved, ...skipped.map(({ vm_id }) => vm_id)]
    await op.step('forgetting homes', () => forgetHomes(id, settled))
    return { moved: outcome.moved, skipped: [...outcome.skipped, ...skipped] }
  },
})

export const drainService = implement(drains, {
  drain: { ...drain, plan: planDrain },
  restore: { ...restore, plan: planRestore },
})
