import { type DrainPlan, drains } from '#shared/contracts/cluster/drains.ts'
import type { Params } from '#shared/contract/contract.ts'
import { ConflictError } from '#shared/errors.ts'
import { implement } from '#shared/service/implement.ts'
import { nodeRecords } from '../nodes/model.ts'
import { loadWorld } from '../placement/load.ts'
import { planMoves } from './plan.ts'

async function planDrain({ id, stopped, bandwidth_limit }: Params<typeof drains, 'plan'>): Promise<DrainPlan> {
  const { status, status_reason } = await nodeRecords.require(id)
  if (status === 'offline')
    throw new ConflictError(`Node '${id}' is offline, so that no guest can be moved off it: ${status_reason}`)
  const world = await loadWorld({ withFeatures: true })
  const own = world.vms.filter(({ node }) => node === id)
  const leaves = ({ isRunning }: { isRunning: boolean }) => isRunning || stopped === 'move'
  return planMoves(world, id, {
    movers: own.filter(leaves),
    targets: world.nodes.filter((node) => node.id !== id),
    stays: own.filter((vm) => !leaves(vm)).map((vm) => ({ vm_id: vm.id, reason: 'it is off' })),
    bandwidthMib: bandwidth_limit,
  })
}

export const drainService = implement(drains, { plan: planDrain })
