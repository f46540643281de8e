import { allParts } from '#shared/bus/all-pages.ts'
import { call } from '#shared/bus/call.ts'
import { monitoring } from '#shared/contracts/metrics/monitoring.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { inventory, type InventoryVm } from '#shared/contracts/vm/inventory.ts'
import { AppError } from '#shared/errors.ts'
import { activeStates, listEntries } from '#shared/operation/entries.ts'
import { open } from '#shared/nodes/nodes.ts'
import { cpuOf } from '../nodes/cpu-baseline.ts'
import { nodeRecords } from '../nodes/model.ts'
import type { StoredNode } from '../nodes/stored-node.ts'
import { reachOf } from '../nodes/view.ts'
import { ruleRecords } from './rules.ts'
import { roomOf, type World, type WorldNode } from './world.ts'

/** Measured memory older than this is not counted. */
const measuredForSeconds = 30
/** CPU features change when a host is replaced or its QEMU upgraded. */
const featuresForMs = 60_000
const known = new Map<string, { at: number; features: Promise<ReadonlySet<string> | null> }>()

/** CPU features of a node's guests; null when it cannot tell. */
function featuresOf(node: StoredNode): Promise<ReadonlySet<string> | null> {
  const entry = known.get(node.id)
  if (entry && performance.now() - entry.at < featuresForMs) return entry.features
  const features = cpuOf(open(reachOf(node))).then((found) => ('cpu' in found ? new Set(found.cpu.features) : null))
  known.set(node.id, { at: performance.now(), features })
  features.then(
    (found) => found ?? known.delete(node.id),
    () => known.delete(node.id),
  )
  return features
}

const allVms = (): Promise<InventoryVm[]> => allParts((part) => call(inventory, 'vms', part, { isQuestion: true }))

/** Memory that each node has available by measurement, MiB; none when nothing measures. */
async function measuredMib(): Promise<Map<string, number>> {
  try {
    const { data } = await call(monitoring, 'nodes', { limit: 1000 }, { isQuestion: true, timeoutMs: 1500 })
    return new Map(
      data.flatMap((measured) => {
        const { node_id, age_seconds } = measured
        // The contract makes these fields of the catalog of metrics, which its type does not show.
        const bytes = (measured as Record<string, unknown>)['memory_available_bytes']
        const isFresh = age_seconds !== null && age_seconds <= measuredForSeconds
        return isFresh && typeof bytes === 'number' ? [[node_id, bytes / 2 ** 20] as const] : []
      }),
    )
  } catch (error) {
    if (error instanceof AppError) return new Map()
    throw error
  }
}

/** The nodes on which failovers that run will start their VMs. */
export async function targetsOfFailovers(): Promise<Map<string, string>> {
  const running = { kind: 'ha-resources.failover', state: { $in: [...activeStates] } }
  const { data } = await listEntries({ limit: 1000 }, running)
  // The input is what `failover.accept` returned.
  return new Map(data.map(({ input }) => input as { vm_id: string; to: string }).map(({ vm_id, to }) => [vm_id, to]))
}

type WorldParts = { withFeatures: boolean; withMeasured?: boolean }

const unusableOf = ({ status, status_reason, maintenance, facts }: StoredNode): string | null => {
  if (maintenance) return 'it is in maintenance'
  if (status !== 'online') return `it is ${status}${status_reason === null ? '' : `: ${status_reason}`}`
  return facts === null ? 'its facts are not known yet' : null
}

/**
 * Reads the inventory as it is now.
 * @param withFeatures asks the nodes for the features of their CPUs too
 * @param withMeasured asks for the last measured memory of all nodes
 */
export async function loadWorld({ withFeatures, withMeasured = true }: WorldParts): Promise<World> {
  const [stored, guests, places, rules, failovers, measured] = await Promise.all([
    nodeRecords.all(),
    allVms(),
    call(pools, 'places', {}, { isQuestion: true }),
    ruleRecords.all(),
    targetsOfFailovers(),
    withMeasured ? measuredMib() : new Map<string, number>(),
  ])
  const nodes = await Promise.all(
    stored.map(async (node): Promise<WorldNode> => {
      const { id, facts } = node
      const unusable = unusableOf(node)
      return {
        id,
        unusable,
        ...roomOf(facts?.memory_mib ?? 0, facts?.cpus ?? 0),
        availableMib: measured.get(id) ?? null,
        architecture: facts?.architecture ?? 'unknown',
        accel: facts?.accel ?? 'tcg',
        features: withFeatures && node.status === 'online' ? await featuresOf(node) : null,
      }
    }),
  )
  const featuresBy = new Map(nodes.map(({ id, features }) => [id, features]))
  return {
    nodes,
    vms: guests.map(
      ({ id, node, status, moving_to, memory, vcpus, architecture, accel, sees_host_cpu, pools: used }) => ({
        id,
        node,
        memoryMib: memory,
        vcpus,
        isRunning: status !== 'stopped' || moving_to !== null || failovers.has(id),
        // A failover takes the room of its VM while it waits for evidence.
        movingTo: moving_to ?? failovers.get(id) ?? null,
        architecture,
        accel,
        pools: used,
        features: sees_host_cpu ? (featuresBy.get(node) ?? null) : null,
      }),
    ),
    pools: places.map(({ id, nodes: reaching, state }) => ({ id, nodes: reaching, isActive: state === 'active' })),
    rules: rules.map(({ id, kind, vms: members }) => ({ id, kind, vms: members })),
  }
}
