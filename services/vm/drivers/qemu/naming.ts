import { validate } from 'uuid'
import { idFrom } from '#shared/ids.ts'
import type { Naming } from '../driver.ts'
import { placesOf } from './xml/drive-places.ts'
import { isoDrive, isoPort, seedDrive } from './xml/parse-domain-xml.ts'

// The drives of ISO and seed have names of their own; the ISO's takes a port of the SATA controller as well.
const taken = [isoDrive, seedDrive, placesOf('sata')[isoPort]!]

export const naming: Naming = {
  /** libvirt knows a domain by a UUID: the VM's id when it is one, else one that is computed from it. */
  handleOf: (id) => (validate(id) ? id.toLowerCase() : idFrom(`vm/${id}`)),
  nextPlace: (used, bus) => placesOf(bus).find((place) => ![...used, ...taken].includes(place)) ?? null,
}
