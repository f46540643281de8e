import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '#shared/errors.ts'
import { domainState } from '#shared/nodes/libvirt/client/domain.ts'
import { resumePostCopy } from '#shared/nodes/libvirt/client/migration.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { Guest } from '../../guest.ts'
import type { Relocation } from '../../relocation.ts'
import { query } from '../guest/monitor.ts'
import { sideOf } from './sides.ts'

/** A post-copy of which nothing more arrives for so long has lost its connection: QEMU itself would wait for many minutes. */
const standstillMs = 10_000
const lookEveryMs = 1000
/** TCP ports that libvirt gives to incoming migrations (qemu.conf, migration_port_min and _max). */
const ports = { min: 49_152, max: 49_215 }

/** The address at which the target's QEMU is reached by the source's; null where only libvirt's own name of it is known. */
export const addressOf = ({ node }: Reached) => (node.kind === 'ssh' ? node.address : null)

/** Bytes of memory by the source's QEMU. A source that does not answer has sent -1. */
type Sent = { sent: number; remaining: number }

/**
 * @returns a function that answers true when a post-copy has stood still for a while; then it begins anew. One whose rest was
 * sent waits for the kernel to deliver it: a source of QEMU 7.2 that is interrupted then cannot be resumed any more.
 */
export function watchStandstill(nowMs: () => number = () => performance.now()): (numbers: Sent) => boolean {
  let [last, since] = [-1, nowMs()]
  return ({ sent, remaining }) => {
    if (sent !== last || remaining === 0) [last, since] = [sent, nowMs()]
    if (nowMs() - since < standstillMs) return false
    since = nowMs()
    return true
  }
}

/**
 * The local and remote port of a guest's incoming migration, from the output of `ss -tnpH`.
 * @param pids processes of the guest
 */
export const incomingPorts = (sockets: string, pids: ReadonlySet<string>): { local: string; remote: string }[] =>
  sockets.split('\n').flatMap((line) => {
    const [, , , here, there] = line.trim().split(/\s+/)
    const pid = /pid=(\d+)/.exec(line)?.[1]
    const [local, remote] = [here?.split(':').at(-1), there?.split(':').at(-1)]
    if (!local || !remote || pid === undefined || !pids.has(pid)) return []
    return Number(local) >= ports.min && Number(local) <= ports.max ? [{ local, remote }] : []
  })

/** Closes the incoming connection. A receiving QEMU that waits for a page answers no command, so the kernel is asked. */
async function dropIncoming({ host }: Reached, uuid: string): Promise<void> {
  const processes = await host.run('pgrep', ['-f', '--', `-uuid ${uuid}`])
  const pids = new Set(processes.stdout.split('\n').filter(Boolean))
  const { stdout } = await host.run('ss', ['-tnpH', 'state', 'established'])
  // With a state filter the column of the state is not there.
  for (const { local, remote } of incomingPorts(stdout.replaceAll(/^/gm, 'ESTAB '), pids))
    await host.run('ss', ['-tKH', 'sport', '=', `:${local}`, 'and', 'dport', '=', `:${remote}`])
}

/** Has both sides of a post-copy give up their connection, which is what a resumption takes. Tries what it can; never throws. */
export async function interrupt(guest: Guest, target: Reached): Promise<void> {
  // One that has noticed by itself refuses it.
  await query(guest, 'migrate-pause').catch(orLater)
  await dropIncoming(target, guest.handle).catch(orLater)
}

function orLater(error: unknown): void {
  if (!(error instanceof AppError)) throw error
}

/** Memory that was sent and is left, by the source's QEMU. */
async function readSent(guest: Guest): Promise<Sent> {
  try {
    // MigrationInfo of the QEMU QMP Reference Manual.
    const { ram } = (await query(guest, 'query-migrate')) as { ram?: { transferred: number; remaining: number } }
    return { sent: ram?.transferred ?? -1, remaining: ram?.remaining ?? -1 }
  } catch (error) {
    orLater(error)
    return { sent: -1, remaining: -1 }
  }
}

/** Interrupts a post-copy whenever it stands still, until it has ended. */
async function watch(guest: Guest, target: Reached, over: AbortSignal): Promise<void> {
  const standsStill = watchStandstill()
  while (!over.aborted) {
    if (standsStill(await readSent(guest))) await interrupt(guest, target)
    await delay(lookEveryMs, undefined, { signal: over }).catch(() => undefined)
  }
}

export const reunite: Relocation['reunite'] = async (guest, { target, bandwidthMib }, withinMs) => {
  const [from, to] = await Promise.all([reach(guest.node), reach(target)])
  const source = libvirtOf(from)
  const words = { uuid: guest.handle, address: addressOf(to), bandwidthMib }
  const isSplit = async () => sideOf(await domainState(source, guest.handle), 'source') === 'split'
  const over = new AbortController()
  const watching = watch(guest, to, over.signal)
  const deadline = performance.now() + withinMs
  try {
    while (await isSplit()) {
      try {
        return await resumePostCopy(source, libvirtOf(to), words)
      } catch (error) {
        // QEMU may still be sending, unattended, or has not given up a connection that is broken.
        if (!(error instanceof AppError) || performance.now() > deadline) throw error
      }
      await delay(lookEveryMs)
    }
  } finally {
    over.abort()
    await watching
  }
}
