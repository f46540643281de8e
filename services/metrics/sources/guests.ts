import type { GuestSource } from './guest-source.ts'
import { libvirtGuests } from './libvirt/guests.ts'

/** One for each engine that can measure its guests in bulk. */
export const guestSources: GuestSource[] = [libvirtGuests]

/** Puts another source in the place of all, such as that of a simulation. */
export const replaceSources = (source: GuestSource): void => void guestSources.splice(0, guestSources.length, source)
