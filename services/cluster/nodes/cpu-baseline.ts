import type { CpuBaselines } from '#shared/contracts/cluster/node-health.ts'
import { AppError } from '#shared/errors.ts'
import type { CpuQuery, EngineCpus, HostCpu } from '#shared/nodes/engine.ts'
import { engineKinds } from '#shared/nodes/engines.ts'
import type { Reached } from '#shared/nodes/nodes.ts'

type Asked = CpuQuery & { id: string; engine: string; cpus: EngineCpus; cpu: HostCpu }
type Unknown = { id: string; reason: string }

/** Asks each node for the CPU of its guests, and one of each group for what they have in common. */
export async function cpuBaselines(nodes: Reached[]): Promise<CpuBaselines> {
  const answers = await Promise.all(nodes.map(cpuOf))
  const asked = answers.filter((answer) => 'cpu' in answer)
  const unknown = answers.filter((answer) => 'reason' in answer)
  const groups = Map.groupBy(asked, ({ engine, architecture, accel }) => `${engine} ${architecture} ${accel}`)
  const computed = await Promise.all([...groups.values()].map(baselineOf))
  return {
    baselines: computed.flatMap((each) => ('baseline' in each ? [each.baseline] : [])),
    unknown: [...unknown, ...computed.flatMap((each) => ('failed' in each ? each.failed : []))],
  }
}

/** The CPU of a node's guests, by the first engine that can tell, or the reason that none can. */
export async function cpuOf({ node, engine }: Reached): Promise<Asked | Unknown> {
  const { id, architecture, accel } = node
  if (architecture === null || accel === null) return { id, reason: 'It has not been reached yet' }
  let reason = 'It has no engine that chooses the CPU of its guests'
  for (const kind of engineKinds) {
    const opened = engine(kind)
    const cpus = 'cpus' in opened ? opened.cpus : undefined
    if (!cpus) continue
    try {
      const cpu = await cpus.hostCpu({ architecture, accel })
      if (cpu) return { id, architecture, accel, engine: kind, cpus, cpu }
      reason = `${kind} has no guests of ${architecture} with ${accel}`
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      reason = error.message
    }
  }
  return { id, reason }
}

async function baselineOf(
  group: Asked[],
): Promise<{ baseline: CpuBaselines['baselines'][number] } | { failed: Unknown[] }> {
  const [first] = group as [Asked, ...Asked[]]
  const { architecture, accel, engine, cpus } = first
  try {
    const descriptions = group.map(({ cpu }) => cpu.description)
    const { model, vendor, features } = await cpus.baseline({ architecture, accel }, descriptions)
    const common = new Set(features)
    const nodes = group.map(({ id, cpu }) => ({
      id,
      model: cpu.model,
      more_features: cpu.features.filter((feature) => !common.has(feature)),
    }))
    return { baseline: { architecture, accel, engine, model, vendor, features, nodes } }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const { message } = error
    return { failed: group.map(({ id }) => ({ id, reason: message })) }
  }
}
