import { call } from '#shared/bus/call.ts'
import { placement } from '#shared/contracts/cluster/placement.ts'
import type { NewDisks } from '#shared/contracts/vm/hardware.ts'
import { UnavailableError, ValidationError, type Violation } from '#shared/errors.ts'

type Given = {
  id: string
  memory: number
  cpus: number
  max_cpus?: number | null | undefined
  architecture: string
  disks: NewDisks
  start: boolean
}
type Plan = { violations: Violation[] }

/** The chosen node with the reason, and the others with theirs. */
export type Placed = { node: string; reason: string; refused: { node: string; reasons: string[] }[] }

/**
 * Chooses the node of a new VM: the first in the cluster's ranking on which the hypervisor can run it.
 * @param planOn plans the VM on a node, with all violations
 * @returns the plan on the chosen node; one with violations when no node can take it
 */
export async function chooseNode<P extends Plan>(
  { id: vm, memory, cpus, max_cpus, architecture, disks, start }: Given,
  planOn: (node: string) => Promise<P>,
): Promise<{ plan: P; placed?: Placed }> {
  const need = { vm, memory, cpus: max_cpus ?? cpus, architecture, pools: disks.map(({ pool }) => pool), start }
  const { candidates, refused } = await call(placement, 'rank', need, { isQuestion: true })
  let best: P | undefined
  for (const { node, reason } of candidates) {
    const plan = await planIfReached(node)
    if (plan instanceof UnavailableError) refused.push({ node, reasons: [plan.message] })
    else if (plan.violations.length === 0) return { plan, placed: { node, reason, refused } }
    else {
      best ??= plan
      refused.push({ node, reasons: plan.violations.map(({ field, message }) => `${field}: ${message}`) })
    }
  }
  // The mistakes of the request itself are the same everywhere: they are told by their fields.
  for (const { node } of candidates.length > 0 ? [] : refused) {
    const plan = await planIfReached(node)
    if (!(plan instanceof UnavailableError)) best ??= plan
    if (best) break
  }
  const noNode = { field: 'node', code: 'no_node', message: `no node can take it: ${sentence(refused)}` }
  if (!best) throw new ValidationError([noNode])
  best.violations.push(noNode)
  return { plan: best }

  function planIfReached(node: string): Promise<P | UnavailableError> {
    return planOn(node).catch((error: unknown) => {
      if (error instanceof UnavailableError) return error
      throw error
    })
  }
}

const sentence = (refused: Placed['refused']) =>
  refused.map(({ node, reasons }) => `'${node}': ${reasons.join('; ')}`).join(' | ') || 'there is none'
