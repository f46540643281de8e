/** The inventory as placement sees it: facts only, no handles and no calls. */

export type WorldNode = {
  id: string
  /** null: usable. Else the reason that nothing new goes there, such as maintenance. */
  unusable: string | null
  /** Memory that guests may have in all, MiB. */
  memoryMib: number
  /** vCPUs that guests may have in all. */
  vcpus: number
  /** Memory that programs can still get, by the last measurement; null when there is none. */
  availableMib: number | null
  architecture: string
  accel: string
  /** CPU features of its guests; null when they are not known. */
  features: ReadonlySet<string> | null
}

export type WorldVm = {
  id: string
  node: string
  memoryMib: number
  vcpus: number
  /** It takes memory and vCPUs of its node now. A guest that is off takes none. */
  isRunning: boolean
  /** Node that it moves to at present: it takes its memory and vCPUs there too. */
  movingTo?: string | null
  architecture: string
  accel: string
  /** Storage pools of its disks. */
  pools: string[]
  /** It sees the CPU of its node as it is, so that it needs a node with all of these features; null: it does not. */
  features: ReadonlySet<string> | null
}

export type WorldPool = { id: string; nodes: string[] | null; isActive: boolean }

/** `apart`: no two of these VMs on one node. `together`: all of them on one node. */
export type Rule = { id: string; kind: 'apart' | 'together'; vms: string[] }

export type World = { nodes: WorldNode[]; vms: WorldVm[]; pools: WorldPool[]; rules: Rule[] }

/** vCPUs for each processor of a node, as OpenStack Nova's `cpu_allocation_ratio`. */
const vcpusPerCpu = 16
/** Memory of a node that guests do not get: the system itself, and QEMU's own memory for each guest. */
const reservedMib = (totalMib: number) => Math.max(256, Math.round(totalMib * 0.03))

/** Room of a node for guests, from its facts. */
export const roomOf = (memoryMib: number, cpus: number) => ({
  memoryMib: Math.max(0, memoryMib - reservedMib(memoryMib)),
  vcpus: cpus * vcpusPerCpu,
})

export type Load = { memoryMib: number; vcpus: number }

/** Declared memory and vCPUs of the guests that run on each node or move to it, without these VMs. */
export function loads({ nodes, vms }: World, without: ReadonlySet<string> = new Set()): Map<string, Load> {
  const sums = new Map(nodes.map(({ id }) => [id, { memoryMib: 0, vcpus: 0 }]))
  for (const { id, node, isRunning, movingTo, memoryMib, vcpus } of vms) {
    if (!isRunning || without.has(id)) continue
    for (const each of new Set([node, movingTo ?? node])) {
      const sum = sums.get(each)
      if (!sum) continue
      sum.memoryMib += memoryMib
      sum.vcpus += vcpus
    }
  }
  return sums
}

/** The nodes on which rules count a VM: while it moves its new one, and for rules that keep it apart its old one too. */
export const placesOf = ({ node, movingTo }: Pick<WorldVm, 'node' | 'movingTo'>): string[] =>
  movingTo == null || movingTo === node ? [node] : [movingTo, node]
