import { randomBytes } from 'node:crypto'
import { ConflictError, type Violation } from '#shared/errors.ts'
import { vmRecords } from '../model.ts'

/** The lock on an address that is being taken. */
export const macKeyOf = (mac: string) => `mac ${mac}`

/** Makes an address in the range that is usual for guests. */
const anyMac = () => `52:54:00:${randomBytes(3).toString('hex').match(/../g)!.join(':')}`

/**
 * Id of the VM that has an address.
 * @param but a VM that counts for none: neither it nor the one that it runs in place of, nor the one that runs in its place
 */
export async function ownerOf(mac: string, but?: string): Promise<string | undefined> {
  if (but === undefined) return (await vmRecords.find({ 'nics.mac': mac }))?.id
  const { replaced_by } = (await vmRecords.get(but)) ?? {}
  const others = {
    _id: { $nin: [but, ...(replaced_by === undefined ? [] : [replaced_by])] },
    replaced_by: { $ne: but },
  }
  return (await vmRecords.find({ 'nics.mac': mac, ...others }))?.id
}

/** Violations of given addresses for a number of NICs. */
export async function checkMacs(macs: string[], nics: number): Promise<Violation[]> {
  const found: Violation[] = []
  if (macs.length !== nics)
    found.push({
      field: 'mac_addresses',
      code: 'count',
      message: `must have one for each NIC: ${nics}, not ${macs.length}`,
    })
  for (const [index, mac] of macs.entries()) {
    const field = `mac_addresses.${index}`
    if (macs.indexOf(mac) !== index) found.push({ field, code: 'taken', message: `${mac} is there twice` })
    const owner = await ownerOf(mac)
    if (owner !== undefined)
      found.push({ field, code: 'taken', message: `${mac} belongs to virtual machine '${owner}'` })
  }
  return found
}

/** An address that no VM of the installation has. @param beside addresses that are taken as well */
export async function newMac(beside: Iterable<string> = []): Promise<string> {
  const taken = new Set(beside)
  for (;;) {
    const mac = anyMac()
    if (!taken.has(mac) && (await ownerOf(mac)) === undefined) return mac
  }
}

/** Several new addresses. */
export async function newMacs(count: number): Promise<string[]> {
  const macs: string[] = []
  while (macs.length < count) macs.push(await newMac(macs))
  return macs
}

/** @throws ConflictError when another VM has taken one of them meanwhile */
export async function requireStillFree(macs: string[], vmId: string): Promise<void> {
  for (const mac of macs) {
    const owner = await ownerOf(mac, vmId)
    if (owner !== undefined)
      throw new ConflictError(`${mac} belongs to virtual machine '${owner}' by now`, { details: { mac, vm_id: owner } })
  }
}
