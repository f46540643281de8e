import { readFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { openConnection } from '#shared/nodes/libvirt/connection/connection.ts'
import { domainSamples } from '#shared/nodes/libvirt/client/stats.ts'
import { startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import type { Row } from './figures.ts'

const count = 50
const rounds = 20
const ticksPerSecond = 100
/** Less than this cannot be told from nothing. */
const resolutionMs = 1000 / ticksPerSecond / rounds

const domain = (number: number) => `<domain type="qemu"><name>guest-${number}</name><memory unit="MiB">32</memory>
  <vcpu>1</vcpu><os><type arch="x86_64" machine="q35">hvm</type></os>
  <devices><memballoon model="virtio"/></devices></domain>`

/** Processor time of a process, ms; with `children` that of those it has waited for, alone. */
async function cpuMs(pid: number | 'self', of: 'itself' | 'children'): Promise<number> {
  const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
  // proc(5): utime and stime are fields 14 and 15, cutime and cstime 16 and 17; two are cut off.
  const at = of === 'itself' ? 11 : 13
  return ((Number(stat[at]) + Number(stat[at + 1])) * 1000) / ticksPerSecond
}

/** The libvirtd of a lab host, found by its network namespace. */
async function libvirtdOf(netns: string): Promise<number> {
  const { stdout } = await localHost().runChecked('ip', ['netns', 'pids', netns])
  for (const pid of stdout.split('\n').filter(Boolean))
    if ((await readFile(`/proc/${pid}/comm`, 'utf8')).trim() === 'libvirtd') return Number(pid)
  throw new Error(`${netns} has no libvirtd`)
}

/**
 * Statistics of 50 running domains: one call of ours against `virsh domstats` for each domain. Processor time of who
 * asks and of libvirtd, which is the same for both.
 */
export async function domainStats(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const [host] = await startHosts(join(dir, 'hosts'), 1)
  const virsh = (...words: string[]) => localHost().runChecked('virsh', ['-q', '-c', host!.uri, ...words])
  const libvirt = await openConnection(host!.uri)
  try {
    const names = Array.from({ length: count }, (_, number) => `guest-${number}`)
    for (const [number, name] of names.entries()) {
      const file = join(dir, 'guest.xml')
      await writeFile(file, domain(number))
      await virsh('define', file)
      // The guests are paused, so that only the query is measured.
      await virsh('start', '--paused', name)
    }
    const daemon = await libvirtdOf(host!.netns)
    const measure = async (work: () => Promise<unknown>, who: 'itself' | 'children', times: number) => {
      await work()
      const before = [await cpuMs('self', who), await cpuMs(daemon, 'itself')] as const
      for (let round = 0; round < times; round++) await work()
      const after = [await cpuMs('self', who), await cpuMs(daemon, 'itself')] as const
      return { asker: (after[0] - before[0]) / times, all: (after[0] + after[1] - before[0] - before[1]) / times }
    }
    const ours = await measure(() => domainSamples(libvirt), 'itself', rounds)
    const each = async () => {
      for (const name of names) await virsh('domstats', name)
    }
    const theirs = await measure(each, 'children', 2)
    return [
      { what: `statistics of ${count} domains in one call, CPU with libvirtd`, value: ours.all, unit: 'ms' },
      { what: 'virsh domstats for each, CPU with libvirtd', value: theirs.all, unit: 'ms' },
      { what: 'CPU with libvirtd, virsh over ours (at least 3)', value: theirs.all / ours.all, unit: 'x' },
      {
        what: 'CPU of who asks alone, virsh over ours',
        value: theirs.asker / Math.max(ours.asker, resolutionMs),
        unit: 'x',
      },
    ]
  } finally {
    await libvirt.close()
    await stopHosts(join(dir, 'hosts'))
    await rm(dir, { recursive: true, force: true })
  }
}
