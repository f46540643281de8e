import type { Broken, Sim, SimVm } from './state.ts'

/** Checks the invariants that a change of a VM can break, and notes each that is broken. */
export function requireInvariants(sim: Sim, vm: SimVm): void {
  const broken = (invariant: Broken['invariant'], text: string) => {
    if (sim.broken.some((known) => known.text === text)) return
    sim.broken.push({ at_seconds: Math.round(sim.nowMs / 100) / 10, invariant, text })
  }
  if (vm.guests.size > 1) {
    const places = [...vm.guests.keys()].map((node) => `'${node}'`).join(' and ')
    broken('one_writer', `Virtual machine '${vm.id}' runs on ${places} at once`)
  }
  checkBudget(vm, broken)
  for (const id of vm.guests.keys()) {
    const node = sim.nodes.get(id)!
    const there = [...sim.vms.values()].filter(({ guests }) => guests.has(id))
    const sum = (of: 'memoryMib' | 'vcpus') => there.reduce((total, each) => total + each[of], 0)
    if (!node.isShrunk && (sum('memoryMib') > node.memoryMib || sum('vcpus') > node.vcpus))
      broken(
        'capacity',
        `Node '${id}' runs guests with ${sum('memoryMib')} MiB and ${sum('vcpus')} vCPUs, and has room for ${node.memoryMib} and ${node.vcpus}`,
      )
    for (const rule of sim.start.world.rules) {
      if (rule.kind !== 'apart' || !rule.vms.includes(vm.id)) continue
      const other = there.find((each) => each.id !== vm.id && rule.vms.includes(each.id))
      if (other) broken('rule', `Rule '${rule.id}' keeps '${vm.id}' apart from '${other.id}', and both run on '${id}'`)
    }
  }
}

function checkBudget({ id, ha }: SimVm, broken: (invariant: 'budget', text: string) => void): void {
  if (!ha) return
  const elsewhere = ha.attempts.filter(({ from, to }) => from !== to).length
  const there = ha.attempts.length - elsewhere
  if (elsewhere > ha.rules.max_relocations || there > ha.rules.max_restarts)
    broken('budget', `Virtual machine '${id}' was started ${elsewhere} times elsewhere and ${there} times on its node`)
}
