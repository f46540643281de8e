import { randomBytes } from 'node:crypto'
import { ConflictError, type Violation } from '#shared/errors.ts'
import { vmRecords } from '../model.ts'

/** Held while an address is being taken. */
export const macKeyOf = (mac: string) => `mac ${mac}`

/** Makes an address in the range that is usual for guests. */
const anyMac = () => `52:54:00:${randomBytes(3).toString('hex').match(/../g)!.join(':')}`

/** The VM that has an address. */
export const ownerOf = async (mac: string) => (await vmRecords.find({ 'nics.mac': mac }))?.id

/** What is wrong with addresses that are given for so many NICs. */
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

/** An address that no VM of the installation has, and that is not one of these. */
export async function newMac(beside: Iterable<string> = []): Promise<string> {
  const taken = new Set(beside)
  for (;;) {
    const mac = anyMac()
    if (!taken.has(mac) && (await ownerOf(mac)) === undefined) return mac
  }
}

/** So many of them. */
export async function newMacs(count: number): Promise<string[]> {
  const macs: string[] = []
  while (macs.length < count) macs.push(await newMac(macs))
  return macs
}

/** @throws ConflictError when somebody else has taken one of them by now */
export async function requireStillFree(macs: string[], vmId: string): Promise<void> {
  for (const mac of macs) {
    const owner = await ownerOf(mac)
    if (owner !== undefined && owner !== vmId)
      throw new ConflictError(`${mac} belongs to virtual machine '${owner}' by now`, { details: { mac, vm_id: owner } })
  }
}
