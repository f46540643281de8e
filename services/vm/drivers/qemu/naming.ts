import { validate } from 'uuid'
import { idFrom } from '#shared/ids.ts'
import type { Naming } from '../driver.ts'
import { isoDrive, isoPort, seedDrive } from './xml/parse-domain-xml.ts'

const letters = 'abcdefghijklmnopqrstuvwxyz'

/** Each place that a disk of a bus can have: vda, vdb … for virtio, sda, sdb … for the others. */
const placesOf = (prefix: string) => [...letters].map((letter) => `${prefix}${letter}`)
// The drives of ISO and seed have names of their own; the ISO's takes a port of the SATA controller as well.
const taken = [isoDrive, seedDrive, `sd${letters[isoPort]}`]

export const naming: Naming = {
  /** libvirt knows a domain by a UUID: the VM's id when it is one, else one that is computed from it. */
  handleOf: (id) => (validate(id) ? id.toLowerCase() : idFrom(`vm/${id}`)),
  nextPlace: (used, bus) =>
    placesOf(bus === 'virtio' ? 'vd' : 'sd').find((place) => ![...used, ...taken].includes(place)) ?? null,
}
