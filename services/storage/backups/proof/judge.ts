import { setTimeout as sleep } from 'node:timers/promises'
import { call } from '#shared/bus/call.ts'
import type { BootCheck } from '#shared/contracts/storage/backup-proofs.ts'
import { guests } from '#shared/contracts/vm/guests.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { UnavailableError } from '#shared/errors.ts'

/** Everything that is known of a guest that is judged. `serial`, `agent`: null while they are not needed or not there. */
export type Seen = {
  isRunning: boolean
  serial: string | null
  agent: string | null
  readBytes: number | null
}
export type Verdict = { ok: boolean; error: string | null; detail?: string }

const lookEveryMs = 1000
const MiB = 2 ** 20

/** The time that a guest has. Seconds. */
export const secondsOf = ({ kind, seconds }: BootCheck): number => seconds ?? (kind === 'running' ? 60 : 300)

const missing = (check: BootCheck, seconds: number): string =>
  check.kind === 'serial'
    ? `Its guest did not write '${check.text}' on its serial console within ${seconds} s`
    : `The agent in its guest did not answer within ${seconds} s`

/** Judges a guest. @returns null while it has time left */
export function judge(check: BootCheck, seen: Seen, isOver: boolean): Verdict | null {
  if (check.kind === 'serial' && seen.serial?.includes(check.text))
    return { ok: true, error: null, detail: `It wrote '${check.text}'` }
  if (check.kind === 'agent' && seen.agent !== null) return { ok: true, error: null, detail: seen.agent }
  if (!seen.isRunning) return { ok: false, error: 'Its guest stopped before it was judged' }
  if (!isOver) return null
  if (check.kind !== 'running') return { ok: false, error: missing(check, secondsOf(check)) }
  const read = seen.readBytes === null ? '' : `; it has read ${(seen.readBytes / MiB).toFixed(1)} MiB of its disks`
  return { ok: true, error: null, detail: `It ran for ${secondsOf(check)} s${read}` }
}

/** Looks at a guest. @throws UnavailableError when it cannot be seen now */
async function look(id: string, check: BootCheck, isOver: boolean): Promise<Seen> {
  const seen: Seen = { isRunning: true, serial: null, agent: null, readBytes: null }
  if (check.kind === 'serial') seen.serial = (await call(vms, 'serial', { id })).text
  if (check.kind === 'agent') {
    const { connected, version, os } = await call(guests, 'agent', { id })
    if (connected) seen.agent = `The agent ${version ?? ''} answers${os?.name ? `, of ${os.name}` : ''}`
  }
  const { status, disks } = await call(vms, 'stats', { id })
  if (isOver && status === 'running') seen.readBytes = disks.reduce((sum, { read_bytes }) => sum + read_bytes, 0)
  return { ...seen, isRunning: status !== 'stopped' }
}

/** Looks at a guest until there is a verdict. @throws UnavailableError when it could not be seen when its time was over */
export async function watch(id: string, check: BootCheck, signal: AbortSignal): Promise<Verdict & { seconds: number }> {
  const begin = performance.now()
  for (;;) {
    signal.throwIfAborted()
    const passed = (performance.now() - begin) / 1000
    const isOver = passed >= secondsOf(check)
    const seen = await look(id, check, isOver).catch((error: unknown) => {
      // A service or a node that is away for a moment says nothing about the guest.
      if (!(error instanceof UnavailableError) || isOver) throw error
      return null
    })
    const verdict = seen && judge(check, seen, isOver)
    if (verdict) return { ...verdict, seconds: Math.round(passed * 10) / 10 }
    await sleep(lookEveryMs, undefined, { signal })
  }
}
