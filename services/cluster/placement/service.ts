import { placement } from '#shared/contracts/cluster/placement.ts'
import { implement } from '#shared/service/implement.ts'
import { localId } from '../nodes/model.ts'
import { rank } from './choose.ts'
import { loadWorld } from './load.ts'
import { roomFor } from './room.ts'

export const placementService = implement(placement, {
  rank: async ({ vm, memory, cpus, architecture, pools, start }) => {
    const world = await loadWorld({ withFeatures: false })
    const wanted = { id: vm, memoryMib: memory, vcpus: cpus, pools, architecture }
    const { candidates, refused } = rank(world, wanted, { isStarting: start, first: localId })
    return {
      candidates,
      refused: refused.map(({ node, obstacles }) => ({ node, reasons: obstacles.map(({ text }) => text) })),
    }
  },
  room: ({ vm, node }) => roomFor(vm, node),
})
