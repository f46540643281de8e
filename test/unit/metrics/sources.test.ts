import { describe, expect, test } from 'vitest'
import { skewOf } from '../../../services/metrics/collect/measure-node.ts'
import { textsIn } from '../../../services/metrics/sources/node-source.ts'
import { statOf } from '../../../services/metrics/sources/processes.ts'
import { clampTimes, nodeValues } from '../../../services/metrics/sources/proc.ts'

const stat = (idle: number, iowait = 548_282) => `cpu  100 20 30 ${idle} ${iowait} 5 6 7 90 0
cpu0 50 10 15 200 100 2 3 3 45 0
cpu1 50 10 15 200 100 3 3 4 45 0
btime 1700000000
`

describe('values from /proc', () => {
  test('processor times are seconds, and those of guests are not counted twice', () => {
    expect(nodeValues({ stat: stat(400) })).toEqual({
      up: 1,
      cpus: 2,
      cpu_user_seconds: 1.2,
      cpu_system_seconds: 0.41,
      cpu_iowait_seconds: 5482.82,
      cpu_steal_seconds: 0.07,
      cpu_idle_seconds: 4,
      cpu_busy_seconds: 1.68,
    })
  })

  test('available memory is missing, not guessed, on a kernel that does not tell it', () => {
    const meminfo = 'MemTotal:  1000 kB\nMemFree:  100 kB\nBuffers:  10 kB\nCached:  300 kB\n'
    expect(nodeValues({ meminfo })).toEqual({
      up: 1,
      memory_total_bytes: 1_024_000,
      memory_free_bytes: 102_400,
      memory_buffers_bytes: 10_240,
      memory_cached_bytes: 307_200,
    })
    expect(nodeValues({ meminfo: `${meminfo}MemAvailable:  350 kB\n` })).toMatchObject({
      memory_available_bytes: 358_400,
    })
  })

  test('lines of disks with 14, 18 and 20 fields are read; loop devices, partitions and mapped devices are left out', () => {
    const diskstats = [
      '   8       0 sda 1 0 2 0 3 0 4 0 0 0 0',
      '   8       1 sda1 100 0 100 0 100 0 100 0 0 0 0',
      ' 259       0 nvme0n1 10 0 20 0 30 0 40 0 0 0 0 0 0 0 0',
      ' 259       1 nvme0n1p1 100 0 100 0 100 0 100 0 0 0 0 0 0 0 0',
      ' 254       0 vda 100 0 200 0 300 0 400 0 0 0 0 0 0 0 0 0 0',
      ' 253       0 dm-0 7 0 7 0 7 0 7 0 0 0 0 0 0 0 0 0 0',
      '   7       0 loop0 7 0 7 0 7 0 7 0 0 0 0',
      '',
    ].join('\n')
    expect(nodeValues({ diskstats })).toEqual({
      up: 1,
      disk_reads: 111,
      disk_read_bytes: 222 * 512,
      disk_writes: 333,
      disk_written_bytes: 444 * 512,
    })
  })

  test('a bond counts for its members; loopback, bridges and taps of guests are left out', () => {
    const line = (name: string, received: number, sent: number) =>
      `${name.padStart(6)}: ${received} 1 0 0 0 0 0 0 ${sent} 1 0 0 0 0 0 0`
    const own = [line('lo', 9, 9), line('eth0', 100, 10), line('eth1', 200, 20), line('vnet3', 9, 9), line('br0', 9, 9)]
    const head = ['Inter-|   Receive |  Transmit', ' face |bytes packets']
    expect(nodeValues({ network: [...head, ...own].join('\n') })).toMatchObject({
      network_received_bytes: 300,
      network_sent_bytes: 30,
    })
    expect(nodeValues({ network: [...head, ...own, line('bond0', 301, 31)].join('\n') })).toMatchObject({
      network_received_bytes: 301,
      network_sent_bytes: 31,
    })
  })

  test.each(['NaN', 'Infinity', '-1', 'many', '18446744073709551615', '1e308'])(
    'a load of %s is missing, not a number',
    (text) => {
      expect(nodeValues({ loadavg: `${text} 0.5 0.25 1/100 1234` })).toEqual({ up: 1, load_5: 0.5, load_15: 0.25 })
    },
  )

  test('a processor time that goes back a little keeps its last value; a fall of three seconds is a reset', () => {
    const before = nodeValues({ stat: stat(1000) })
    // node_exporter#1372: 5482.82 and then 5482.81.
    const now = clampTimes(nodeValues({ stat: stat(1000, 548_281) }), before)
    expect(now.cpu_iowait_seconds).toBe(5482.82)
    const fallen = clampTimes(nodeValues({ stat: stat(700) }), before)
    expect(fallen.cpu_idle_seconds).toBe(7)
  })

  test('the files of a node behind SSH are told apart; a missing one is missing', () => {
    const output = '==> /proc/loadavg <==\n1.00 0.50 0.25 1/1 1\n\n==> /proc/uptime <==\n77.5 100\n'
    expect(nodeValues(textsIn(output))).toEqual({ up: 1, load_1: 1, load_5: 0.5, load_15: 0.25, uptime_seconds: 77.5 })
  })

  test('a clock that differs by less than the resolution of the boot time does not differ', () => {
    expect(skewOf(1_700_000_000, 500.5, 1_700_000_500_900)).toBe(0)
    expect(skewOf(1_700_000_000, 500, 1_700_000_470_000)).toBe(30)
    expect(skewOf(1_700_000_000, undefined, 1_700_000_470_000)).toBeUndefined()
  })

  test('the name of a process may hold spaces and parentheses', () => {
    const line = `42 (a) S (b c) R 1 1 1 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 12345 1000000 25 18446744073709551615`
    expect(statOf(line)).toEqual({
      pid: 42,
      started_ticks: 12_345,
      name: 'a) S (b c',
      state: 'R',
      cpu_seconds: 3,
      memory_rss_bytes: 25 * 4096,
      threads: 3,
    })
    expect(statOf('')).toBeUndefined()
  })
})
