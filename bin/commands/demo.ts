import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { buildTinyGuest, guestPrefix, type TinyGuest } from '../../tools/tiny-guest/tiny-guest.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { type ApiClient, apiClient } from '../api-client.ts'
import { readArguments, UsageError } from '../arguments.ts'
import { findInstance } from '../demo-instance.ts'

const upMs = 50_000

type Stats = { status: string; cpu_time_ns: number | null; memory_mib: number | null; memory_rss_mib: number | null }

/** The most VMs of a fleet. */
const mostVms = 20_000

/** `horcrux demo`, with a real VM, or with a simulated fleet (`--fleet N`). */
export async function demo(words: string[]): Promise<number> {
  const { fleet, data, changes } = readArguments(words, {
    fleet: { type: 'string' },
    data: { type: 'string' },
    changes: { type: 'string' },
  })
  if (fleet === undefined) {
    if (data !== undefined || changes !== undefined) throw new UsageError('--data and --changes need --fleet N')
    return demoOfOne()
  }
  const vms = numberIn('--fleet', fleet, 1, mostVms)
  if (!Number.isInteger(vms)) throw new UsageError(`--fleet: must be a whole number, not '${fleet}'`)
  const changesPerSecond = changes === undefined ? vms / 1000 : numberIn('--changes', changes, 0, 1000)
  // Imported here: the code of the simulation is in no process that did not ask for it.
  return (await import('../fleet/fleet.ts')).fleet({ vms, data, changesPerSecond })
}

/** @throws UsageError */
function numberIn(name: string, text: string, least: number, most: number): number {
  const number = Number(text)
  if (/^\d+(\.\d+)?$/.test(text) && number >= least && number <= most) return number
  throw new UsageError(`${name}: must be a number from ${least} to ${most}, not '${text}'`)
}

/** Runs a small VM from creation to deletion through the REST API. Leaves nothing behind. */
async function demoOfOne(): Promise<number> {
  const host = localHost()
  const timed = stopwatch()
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
  const instance = await timed(
    () => findInstance(host),
    ({ url, kind }) => `Horcrux at ${url}, ${kind}`,
  )
  try {
    const guest = await timed(
      () => buildTinyGuest(host, instance.folder),
      ({ kernel }) => `a tiny guest: ${kernel.split('/').at(-1)} of Debian and busybox`,
    )
    const api = apiClient(instance.url, await instance.token())
    await live(host, api, guest, timed, stopping.signal)
  } finally {
    await timed(instance.leave, () => instance.left)
    await host.close()
  }
  process.stdout.write(`Total: ${timed.total()} s.\n`)
  return 0
}

async function live(host: Host, api: ApiClient, boot: TinyGuest, timed: Stopwatch, signal: AbortSignal): Promise<void> {
  const name = `demo-${randomBytes(3).toString('hex')}`
  const vm = await timed(
    () => api.send<Vm>('POST', '/vms', { name, memory: 128, cpus: 1, boot }),
    ({ id, memory, cpus, accel }) => `created ${name} (${id}): ${memory} MiB, ${cpus} processor, ${accel}`,
  )
  try {
    await timed(
      () => api.send('POST', `/vms/${vm.id}/start`),
      () => 'started',
    )
    const line = `${guestPrefix} up`
    await timed(
      () => says(api, vm.id, line, signal),
      () => `its serial console prints "${line}"`,
    )
    await timed(
      () => api.get<Stats>(`/vms/${vm.id}/stats`),
      ({ status, cpu_time_ns, memory_mib, memory_rss_mib }) =>
        `it is ${status}: ${((cpu_time_ns ?? 0) / 1e9).toFixed(1)} s of processor time, ${memory_mib} MiB given, ${Math.round(memory_rss_mib ?? 0)} MiB of the host used`,
    )
  } finally {
    await timed(
      () => remove(api, vm.id),
      () => 'stopped and deleted',
    )
    // libvirt keeps a log of each guest for ever.
    await host.remove(`/var/log/libvirt/qemu/${name}.log`).catch(() => {})
  }
}

async function remove(api: ApiClient, id: string): Promise<void> {
  const { status } = await api.get<Vm>(`/vms/${id}`)
  if (status !== 'stopped') await api.send('POST', `/vms/${id}/stop`, { force: true })
  await api.send('DELETE', `/vms/${id}?purge=true`)
}

/** Waits until the guest has written a line on its serial console. */
async function says(api: ApiClient, id: string, line: string, signal: AbortSignal): Promise<void> {
  const end = performance.now() + upMs
  for (;;) {
    const { text } = await api.get<{ text: string }>(`/vms/${id}/serial`)
    if (text.includes(line)) return
    if (signal.aborted) throw new Error('interrupted')
    if (performance.now() > end)
      throw new Error(
        `the guest did not print "${line}" within ${upMs / 1000} s; its console says:\n${text.slice(-2000)}`,
      )
    await sleep(100)
  }
}

type Stopwatch = {
  /** Runs a step, and prints its result and duration. */
  <T>(work: () => Promise<T>, what: (result: T) => string): Promise<T>
  /** Seconds since the beginning. */
  total: () => string
}

function stopwatch(): Stopwatch {
  const begin = performance.now()
  const seconds = (since: number) => ((performance.now() - since) / 1000).toFixed(1)
  const timed = async <T>(work: () => Promise<T>, what: (result: T) => string): Promise<T> => {
    const since = performance.now()
    const result = await work()
    process.stdout.write(`${seconds(since).padStart(6)} s  ${what(result)}\n`)
    return result
  }
  return Object.assign(timed, { total: () => seconds(begin) })
}
