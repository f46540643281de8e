import { Disk, Hardware, type Nic } from '#shared/contracts/vm/hardware.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import type { Violation } from '#shared/errors.ts'
import { countSnapshots, type DomainSummary, listDomains } from '#shared/nodes/libvirt/client/domain.ts'
import { isValid } from '#shared/contract/validate.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import type { Adoptable, Adoption, Present } from '../parts.ts'
import { inactiveXml, letGo } from './definition.ts'
import { foreignIn } from './inventory.ts'
import { type Found, markOf, readDomain } from './xml/parse-domain-xml.ts'
import { otherPartsOf } from './xml/other-parts.ts'
import { statusOf } from './state.ts'
import { type Element, parseXml } from './xml/xml.ts'

const presentOf = (domain: DomainSummary): Present => ({
  handle: domain.uuid,
  name: domain.name,
  status: statusOf(domain).status,
  autostart: domain.isAutostart,
  persistent: domain.isPersistent,
})

/** The reasons that Horcrux cannot manage a domain. */
export function obstacles({ type, os, architecture, disks }: Found): Violation[] {
  const violations: Violation[] = []
  const refuse = (message: string) => violations.push({ field: 'domain', code: 'unsupported', message })
  if (type !== 'kvm' && type !== 'qemu') refuse(`is of type ${type || 'unknown'}, not kvm or qemu`)
  if (os !== 'hvm') refuse(`runs ${os || 'no operating system'}, not a whole machine (hvm)`)
  if (!isValid(Hardware.architecture, architecture)) refuse(`has the architecture ${architecture}`)
  for (const { id, format, bus, cache } of disks) {
    if (!isValid(VolumeFormat, format)) refuse(`its disk ${id} has the format ${format}`)
    if (!isValid(Disk.properties.bus, bus)) refuse(`its disk ${id} is on the bus ${bus || 'unknown'}`)
    if (!isValid(Disk.properties.cache, cache)) refuse(`its disk ${id} has the cache ${cache}`)
  }
  return violations
}

/** Parts of a domain that no field of a record describes, in words. */
async function notesOf(libvirt: ReturnType<typeof libvirtOf>, uuid: string, domain: Element): Promise<string[]> {
  const snapshots = await countSnapshots(libvirt, uuid)
  const taken = snapshots > 0 ? [`${snapshots} snapshots of libvirt's own: see virsh snapshot-list`] : []
  return [...otherPartsOf(domain), ...taken]
}

export const adoption: Adoption = {
  list: async (reached) => (await listDomains(libvirtOf(reached))).map(presentOf),

  find: async (reached, wanted) => {
    const libvirt = libvirtOf(reached)
    const domains = await listDomains(libvirt)
    const there =
      domains.find(({ uuid }) => uuid === wanted.toLowerCase()) ?? domains.find(({ name }) => name === wanted)
    if (!there) return null
    const domain = parseXml(await inactiveXml(libvirt, there.uuid))
    const found = readDomain(domain)
    const violations = obstacles(found)
    if (!there.isPersistent)
      violations.push({
        field: 'domain',
        code: 'transient',
        message: 'is transient: have its node keep it with virsh define',
      })
    const { type, os: _, uuid: _uuid, disks, nics, ...hardware } = found
    const described = {
      ...hardware,
      ...presentOf(there),
      accel: type === 'kvm' ? 'kvm' : 'tcg',
      disks: disks.map((disk) => ({ ...disk, pool: null, volume: null, size_bytes: 0 })),
      nics: nics satisfies Omit<Nic, 'device_id'>[],
      foreign_disks: foreignIn(domain, disks),
      marked_id: markOf(domain).id,
      notes: await notesOf(libvirt, there.uuid, domain),
      violations,
    }
    // Values that the contract does not have are among the violations, so that no such guest is adopted.
    return described as Adoptable
  },

  letGo,
}
