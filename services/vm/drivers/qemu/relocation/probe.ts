import { AppError } from '#shared/errors.ts'
import type { Guest } from '../../guest.ts'
import type { ProcessProbe } from '../../relocation.ts'
import { query } from '../guest/monitor.ts'

/** Fields of `query-block` (QAPI, BlockInfo). `io-status` is there for devices that stop at errors. */
type BlockDevice = { device: string; qdev?: string; 'io-status'?: string; inserted?: unknown }

/** Disks whose last request failed, with their state. */
export const brokenDisks = (devices: BlockDevice[]): string[] =>
  devices.flatMap(({ device, qdev, inserted, ...each }) => {
    const state = each['io-status'] ?? 'ok'
    return inserted && state !== 'ok' ? [`${qdev ?? device} (${state})`] : []
  })

/** Asks the QEMU of a guest for the state of its disks and processors. */
export async function probe(guest: Guest): Promise<ProcessProbe> {
  try {
    // Both answers are lists, by the QEMU QMP Reference Manual.
    const devices = (await query(guest, 'query-block')) as BlockDevice[]
    const processors = (await query(guest, 'query-cpus-fast')) as unknown[]
    return { error: null, cpus: processors.length, brokenDisks: brokenDisks(devices) }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { error: error.message, cpus: null, brokenDisks: [] }
  }
}
