import { ConflictError, notFound } from '#shared/errors.ts'
import { newIdOfNow, timeOfId } from '#shared/ids.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import type { Nic } from '#shared/contracts/vm/hardware.ts'
import type { DiskRecord, VmRecord } from '../../model.ts'

/** An id for a new device. It tells the time of its making, by which {@link diskIn} and {@link nicIn} know older requests. */
export const newDeviceId = newIdOfNow

/** The clocks of two hosts differ by less. Milliseconds. */
const clocksDifferMs = 1000

/**
 * The disk that a request names, by its device_id or its place.
 * @throws ConflictError when it names a place, and the disk there is newer than the request: it meant another one
 */
export function diskIn(vm: Pick<VmRecord, 'id' | 'disks'>, named: string): DiskRecord {
  const disk = vm.disks.find(({ device_id }) => device_id === named) ?? vm.disks.find(({ id }) => id === named)
  if (!disk) throw notFound('Disk', `${vm.id}/${named}`)
  if (disk.id === named) requireOlder(vm.id, `disk ${named}`, disk)
  return disk
}

/** As {@link diskIn}, for a NIC, by its device_id or its address. */
export function nicIn(vm: Pick<VmRecord, 'id' | 'nics'>, named: string): Nic {
  const nic = vm.nics.find(({ device_id, mac }) => device_id === named || mac === named)
  if (!nic) throw notFound('NIC', `${vm.id}/${named}`)
  if (nic.mac === named) requireOlder(vm.id, `NIC ${named}`, nic)
  return nic
}

function requireOlder(vm: string, name: string, { device_id }: { device_id: string }): void {
  const requestedAt = timeOfId(requestContext()?.call?.id ?? '')
  const madeAt = timeOfId(device_id)
  if (requestedAt === null || madeAt === null || madeAt <= requestedAt + clocksDifferMs) return
  throw new ConflictError(
    `The ${name} of '${vm}' was attached after this request was sent, so it means another one. Name it by its device_id, ${device_id}`,
    { details: { device_id } },
  )
}
