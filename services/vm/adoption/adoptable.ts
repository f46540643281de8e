/** The reasons that a guest of a node cannot become a VM, without effects. */
import { call } from '#shared/bus/call.ts'
import { Name } from '#shared/contracts/common.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { Violation } from '#shared/errors.ts'
import { isValid } from '#shared/contract/validate.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { checking } from '#shared/service/violations.ts'
import type { Adoptable } from '../drivers/parts.ts'
import { newDeviceId } from '../hardware/devices/named.ts'
import { ownerOfLoose } from '../hardware/disk-users.ts'
import { ownerOf } from '../hardware/macs.ts'
import { isInPool } from '../hardware/plan.ts'
import { type DiskRecord, type VmRecord, vmRecords } from '../model.ts'

/** A disk of an adopted guest, and whether a new volume is made of it. */
export type Taken = { disk: DiskRecord; isNew: boolean }

export type Candidate = Pick<VmRecord, 'node' | 'hypervisor'> & { found: Adoptable }

/** The reasons that a guest cannot become a VM under a name. */
export async function obstacles({ node, hypervisor, found }: Candidate, wanted = found.name): Promise<Violation[]> {
  const { handle, nics } = found
  const violations: Violation[] = []
  const say = (field: string, code: string, message: string) => violations.push({ field, code, message })
  const known = await vmRecords.find({ handle, hypervisor, node })
  if (known) say('domain', 'managed', `is virtual machine '${known.id}' already`)
  if (!isValid(Name, wanted))
    say('name', 'invalid', `'${wanted}' has other characters than letters, digits, _ and -: give another name`)
  if (await vmRecords.find({ name: wanted })) say('name', 'taken', `a virtual machine is called '${wanted}' already`)
  for (const { mac } of nics)
    if (mac && (await ownerOf(mac)) !== undefined)
      say('domain', 'taken', `its address ${mac} belongs to a NIC of another virtual machine`)
  return violations
}

/** The violation for a disk in no storage pool that another VM has already. */
export async function looseViolations(reached: Reached, disk: DiskRecord): Promise<Violation[]> {
  const owner = isInPool(disk) ? undefined : await ownerOfLoose(reached, disk)
  if (owner === undefined) return []
  return [{ field: 'domain', code: 'in_use', message: `its disk ${disk.id} belongs to ${owner}` }]
}

/** Finds the volume of each disk of a guest; a disk in no pool is known by its path alone. */
export function findDisks({ node }: Reached, found: Adoptable, violations: Violation[]): Promise<Taken[]> {
  const one = async (given: Adoptable['disks'][number]): Promise<Taken> => {
    const disk = { ...given, device_id: newDeviceId() }
    const { source, format } = disk
    const place = await checking('domain', violations, () =>
      call(volumesInternal, 'locate', { node: node.id, source, format }),
    )
    if (!place) return { disk, isNew: false }
    const { pool, name: volume, size_bytes, reads } = place
    if (place.used_by)
      violations.push({ field: 'domain', code: 'in_use', message: `its disk ${disk.id} belongs to ${place.used_by}` })
    if (place.format !== null && place.format !== format)
      violations.push({
        field: 'domain',
        code: 'format',
        message: `its disk ${disk.id} is used as ${format}, but pool '${pool}' takes it for ${place.format}`,
      })
    const backing = reads.length > 0 && { reads }
    return { disk: { ...disk, pool, volume, size_bytes: size_bytes ?? 0, ...backing }, isNew: !place.is_known }
  }
  return Promise.all(found.disks.map(one))
}
