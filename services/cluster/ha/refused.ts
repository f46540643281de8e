/** Time for which a node is no target after its storage did not answer for a VM. */
const forMs = 30_000

/** Refusals as this replica has seen them, by VM and node. Times are of a monotonic clock. */
const refusals = new Map<string, { untilMs: number; why: string }>()
const keyOf = (vm: string, node: string) => `${vm} ${node}`

/** Notes that a node has refused the start of a VM, so that the next decision takes another one. */
export const noteRefusal = (vm: string, node: string, why: string): void =>
  void refusals.set(keyOf(vm, node), { untilMs: performance.now() + forMs, why })

/** The reason for which a node has refused the start of a VM lately; null: none. */
export function refusalOf(vm: string, node: string): string | null {
  const found = refusals.get(keyOf(vm, node))
  if (found === undefined) return null
  if (performance.now() < found.untilMs) return found.why
  refusals.delete(keyOf(vm, node))
  return null
}
