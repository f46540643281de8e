import type { Result } from '#shared/contract.ts'
import type { vms } from '#shared/contracts/vms.ts'
import { now } from '#shared/events/event.ts'
import { domainSamples } from '#shared/libvirt/stats.ts'
import { reach } from '#shared/nodes.ts'
import { serialLogOf } from './define.ts'
import type { VmRecord } from './model.ts'

const KiB = 1024

/** The counters of one guest; a stopped one has none. @throws UnavailableError when its node does not answer */
export async function statsOf({ id, node, status, domain_uuid }: VmRecord): Promise<Result<typeof vms, 'stats'>> {
  const { libvirt } = await reach(node)
  const [sample] = await domainSamples(libvirt, { uuids: [domain_uuid] })
  const { balloon } = sample ?? {}
  return {
    vm_id: id,
    status,
    cpu_time_ns: sample?.cpu_time_ns ?? null,
    memory_mib: balloon ? balloon.current_kib / KiB : null,
    memory_rss_mib: balloon?.rss_kib === undefined ? null : balloon.rss_kib / KiB,
    disks: (sample?.block ?? []).map(({ name, rd_bytes, wr_bytes, capacity, allocation }) => ({
      id: name,
      read_bytes: rd_bytes,
      written_bytes: wr_bytes,
      capacity_bytes: capacity ?? null,
      allocation_bytes: allocation ?? null,
    })),
    nics: (sample?.net ?? []).map(({ name, rx_bytes, tx_bytes }) => ({
      name,
      received_bytes: rx_bytes,
      sent_bytes: tx_bytes,
    })),
    timestamp: now(),
  }
}

const tailBytes = 256 * KiB

/** The end of what a guest wrote to its serial console; nothing for one that never ran. */
export async function serialText(vm: VmRecord): Promise<{ text: string }> {
  const reached = await reach(vm.node)
  const log = serialLogOf(reached, vm.id)
  if ((await reached.host.stat(log)) === null) return { text: '' }
  const { stdout } = await reached.host.runChecked('tail', ['-c', String(tailBytes), '--', log])
  return { text: stdout }
}
