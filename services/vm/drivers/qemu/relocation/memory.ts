import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '#shared/errors.ts'
import type { Guest } from '../../guest.ts'
import { query } from '../guest/monitor.ts'

const windowSeconds = 1
const pollEveryMs = 200
const patienceMs = 15_000

type DirtyRate = { status: 'unstarted' | 'measuring' | 'measured'; 'dirty-rate'?: number }

/**
 * Memory that a guest changes within one second, MiB; null when QEMU cannot tell. Pages are sampled: the other ways of
 * QEMU 7.2 (dirty bitmap and ring) end a guest in emulation.
 */
export async function dirtyMibPerSecond(guest: Guest): Promise<number | null> {
  try {
    // One that is measuring already, for another caller, is waited for.
    const now = (await query(guest, 'query-dirty-rate')) as DirtyRate
    if (now.status !== 'measuring')
      await query(guest, 'calc-dirty-rate', { 'calc-time': windowSeconds, mode: 'page-sampling' })
    for (const deadline = Date.now() + patienceMs; Date.now() < deadline;) {
      await delay(pollEveryMs)
      // By the QEMU QMP Reference Manual; the rate is in MiB/s.
      const found = (await query(guest, 'query-dirty-rate')) as DirtyRate
      if (found.status === 'measured') return found['dirty-rate'] ?? null
    }
    return null
  } catch (error) {
    if (error instanceof AppError) return null
    throw error
  }
}
