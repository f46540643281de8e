import { devices } from '#shared/contracts/vm/devices.ts'
import { implement } from '#shared/service/implement.ts'
import { update } from '../update.ts'
import { attachDisk, detachDisk } from './disks.ts'
import { moveDisk } from './move.ts'
import { attachNic, detachNic } from './nics.ts'
import { resizeDisk } from './resize.ts'

export const deviceService = implement(devices, {
  attachDisk,
  detachDisk,
  resizeDisk,
  moveDisk,
  attachNic,
  detachNic,
  insert: ({ id, path }, call) => update({ id, iso: path }, call),
  eject: ({ id }, call) => update({ id, iso: null }, call),
})
