import { call } from '#shared/bus/call.ts'
import { secretIdOf } from '#shared/contracts/storage/disk-source.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { VmRecord } from '../model.ts'

type Guest = Pick<VmRecord, 'hypervisor' | 'node'> & { disks: Pick<VmRecord['disks'][number], 'source'>[] }

/**
 * Gives the hypervisor of the node the secrets that the disks of a guest need. Those of no storage pool stay as they are:
 * others gave them.
 */
export async function giveSecrets(guest: Guest): Promise<void> {
  const ids = new Set(guest.disks.map(({ source }) => secretIdOf(source)))
  for (const id of ids) {
    const found = id === null ? null : await call(volumesInternal, 'secretOf', { id })
    if (found) await driverOf(guest).secrets?.set(guest.node, { ...found, secret: Buffer.from(found.secret, 'base64') })
  }
}
