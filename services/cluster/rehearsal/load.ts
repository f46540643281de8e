import { call } from '#shared/bus/call.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { fencing } from '#shared/contracts/vm/fencing.ts'
import { boundOf } from '../ha/bound.ts'
import { groupRecords, resourceRecords, rulesOf } from '../ha/model.ts'
import { localId, nodeRecords } from '../nodes/model.ts'
import { loadWorld } from '../placement/load.ts'
import type { Start } from './state.ts'

/** Questions at a time. */
const atOnce = 16

/** Reads the live inventory for a rehearsal. @param named the nodes to which something happens */
export async function readStart(named: ReadonlySet<string>): Promise<Start> {
  const [world, nodes, vms, resources, groups, { bandwidth_limit }] = await Promise.all([
    loadWorld({ withFeatures: false }),
    nodeRecords.all(),
    call(fencing, 'list', {}, { isQuestion: true }),
    resourceRecords.all(),
    groupRecords.all(),
    call(migrations, 'settings', {}, { isQuestion: true }),
  ])
  const known = new Map(vms.map((vm) => [vm.id, vm]))
  const ha: Start['ha'] = new Map(
    resources.flatMap((resource) => {
      const vm = known.get(resource.id)
      if (!vm) return []
      const { tier, attempts } = resource
      const start = { tier, rules: rulesOf(resource, groups), hasLease: vm.lease !== null, isGuarded: vm.is_guarded }
      return [[vm.id, { ...start, attempts: attempts.map(({ from, to }) => ({ from, to })) }] as const]
    }),
  )
  const wanted = world.vms.filter(({ id, isRunning }) =>
    ha.has(id) ? known.get(id)?.desired_state === 'running' : isRunning,
  )
  const lost = vms.filter(({ id, node }) => ha.has(id) && named.has(node))
  const bound = new Map<string, string[]>()
  for (let from = 0; from < lost.length; from += atOnce)
    await Promise.all(lost.slice(from, from + atOnce).map(async ({ id }) => bound.set(id, await boundOf(id))))
  return {
    world,
    ha,
    bound,
    wanted: new Set(wanted.map(({ id }) => id)),
    remotes: new Set(nodes.filter(({ kind }) => kind === 'ssh').map(({ id }) => id)),
    bandwidthMib: bandwidth_limit,
    first: localId,
  }
}
