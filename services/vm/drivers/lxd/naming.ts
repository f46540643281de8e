import type { Naming } from '../driver.ts'

const letters = 'abcdefghijklmnopqrstuvwxyz'

export const naming: Naming = {
  /** An instance carries the handle in its configuration, so that it is found under another name too. */
  handleOf: (id) => id,
  nextPlace: (used, bus) => {
    const prefix = bus === 'virtio' ? 'vd' : 'sd'
    return [...letters].map((letter) => `${prefix}${letter}`).find((place) => !used.includes(place)) ?? null
  },
}
