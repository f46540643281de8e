import type { GuestSource } from './guest-source.ts'
import { libvirtGuests } from './libvirt/guests.ts'

/** One for each engine that can measure its guests in bulk. */
export const guestSources: readonly GuestSource[] = [libvirtGuests]
