import { domainSamples } from '#shared/nodes/libvirt/client/stats.ts'
import type { Guest } from '../../guest.ts'
import type { Stats } from '../../parts.ts'
import { libvirtAt } from '../libvirt.ts'
import { isoDrive, seedDrive } from '../xml/parse-domain-xml.ts'

const KiB = 1024

/** The counters of one guest; a stopped one has none. */
export async function stats({ node, handle: uuid }: Guest): Promise<Stats> {
  const libvirt = await libvirtAt(node)
  const [sample] = await domainSamples(libvirt, { uuids: [uuid] })
  const { balloon } = sample ?? {}
  return {
    cpu_time_ns: sample?.cpu_time_ns ?? null,
    memory_mib: balloon ? balloon.current_kib / KiB : null,
    memory_rss_mib: balloon?.rss_kib === undefined ? null : balloon.rss_kib / KiB,
    disks: (sample?.block ?? [])
      .filter(({ name }) => name !== isoDrive && name !== seedDrive)
      .map(({ name, rd_bytes, wr_bytes, capacity, allocation }) => ({
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
  }
}
