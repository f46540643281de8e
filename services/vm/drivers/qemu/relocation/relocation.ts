import type { Relocation } from '../../relocation.ts'
import { check } from './check.ts'
import { dirtyMibPerSecond } from './memory.ts'
import { abort, announce, carry, measured, move, progress } from './move.ts'
import { probe } from './probe.ts'
import { reunite } from './post-copy.ts'
import { sides } from './sides.ts'

/** Relocation by libvirt, managed direct: this process drives both hosts, and QEMU sends to QEMU. */
export const relocation: Relocation = {
  check,
  sides,
  abort,
  move,
  reunite,
  progress,
  measured,
  carry,
  probe,
  dirtyMibPerSecond,
  announce,
}
