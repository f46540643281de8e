import { describe, expect, test } from 'vitest'
import { textsIn } from '../../../services/container/stats/read.ts'
import { startIn, statFilesOf, statValuesIn } from '../../../services/container/stats/values.ts'
import { cgroupIn } from '#shared/nodes/host/cgroup/cgroup.ts'
import { hybrid, legacy, unified } from './cgroup-mounts.ts'

const one = cgroupIn('5:cpu,cpuacct:/a\n4:memory:/b\n3:blkio:/c\n2:pids:/d\n', legacy)!
const two = cgroupIn('0::/system.slice/x\n', unified)!

const network = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  999       9    0    0    0     0          0         0  999       9    0    0    0     0       0          0
  eth0: 1500      10    0    0    0     0          0         0  700       7    0    0    0     0       0          0
  eth1:   20       1    0    0    0     0          0         0    3       1    0    0    0     0       0          0
`

describe('the numbers of a container', () => {
  test('are read from control groups of version 1, memory without the cache that is reclaimed first', () => {
    const texts = {
      cpu: '1234567890\n',
      throttled: 'nr_periods 5\nnr_throttled 2\nthrottled_time 250000000\n',
      memory: '10485760\n',
      memory_stat: 'cache 1\ninactive_file 7\ntotal_rss 4096\ntotal_inactive_file 1048576\n',
      pids: '3\n',
      oom: 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
      bytes: '8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\n8:16 Read 4\nTotal 4612\n',
      requests: '8:0 Read 2\n8:0 Write 1\nTotal 3\n',
      network,
    }
    expect(statValuesIn(one, texts, false)).toEqual({
      cpu_seconds: 1.234568,
      cpu_throttled_seconds: 0.25,
      memory_used_bytes: 10_485_760 - 1_048_576,
      memory_rss_bytes: 4096,
      pids: 3,
      oom_kills: 2,
      disk_read_bytes: 4100,
      disk_written_bytes: 512,
      disk_reads: 2,
      disk_writes: 1,
      network_received_bytes: 1520,
      network_sent_bytes: 703,
    })
  })

  test('are read from control groups of version 2', () => {
    const io = '8:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n8:16 rbytes=4 wbytes=0 rios=1 wios=0\n'
    const cpu = 'usage_usec 1500000\nuser_usec 1\nsystem_usec 2\nnr_periods 0\nthrottled_usec 20\n'
    const texts = {
      cpu,
      throttled: cpu,
      memory: '4096\n',
      memory_stat: 'anon 1000\nfile 2\ninactive_file 8192\n',
      pids: 'max\n',
      oom: 'low 0\noom 1\noom_kill 1\noom_group_kill 0\n',
      bytes: io,
      requests: io,
    }
    expect(statValuesIn(two, texts, false)).toEqual({
      cpu_seconds: 1.5,
      cpu_throttled_seconds: 0.00002,
      memory_used_bytes: 0,
      memory_rss_bytes: 1000,
      oom_kills: 1,
      disk_read_bytes: 4100,
      disk_written_bytes: 512,
      disk_reads: 3,
      disk_writes: 1,
    })
  })

  test('are missing, not zero, without their files, and for the network of the node', () => {
    expect(statValuesIn(one, {}, false)).toEqual({})
    expect(statValuesIn(two, { network, cpu: '', memory: 'x' }, true)).toEqual({})
  })

  test('are those of one run: a process is known by its start', () => {
    expect(startIn(`12 (a (b) c) S ${Array.from({ length: 30 }, (_, index) => index + 4).join(' ')}`)).toBe('22')
    expect(startIn(undefined)).toBeNull()
    expect(startIn('12 (sh) S 1')).toBeNull()
  })
})

test('each controller of version 1 has its own folder, and version 2 one for all', () => {
  expect(Object.fromEntries(statFilesOf(one, 7))).toMatchObject({
    cpu: '/sys/fs/cgroup/cpu,cpuacct/a/cpuacct.usage',
    memory: '/sys/fs/cgroup/memory/b/memory.usage_in_bytes',
    bytes: '/sys/fs/cgroup/blkio/c/blkio.throttle.io_service_bytes_recursive',
    pids: '/sys/fs/cgroup/pids/d/pids.current',
    network: '/proc/7/net/dev',
  })
  expect(Object.fromEntries(statFilesOf(two, 7))).toMatchObject({
    cpu: '/sys/fs/cgroup/system.slice/x/cpu.stat',
    oom: '/sys/fs/cgroup/system.slice/x/memory.events',
  })
})

test('a hybrid has each number from the version that its controller is in', () => {
  const mixed = cgroupIn('5:cpu,cpuacct:/x\n2:pids:/\n0::/x\n', hybrid)!
  const files = Object.fromEntries(statFilesOf(mixed, 7))
  expect(files).toMatchObject({
    cpu: '/sys/fs/cgroup/cpu,cpuacct/x/cpuacct.usage',
    memory: '/sys/fs/cgroup/unified/x/memory.current',
  })
  expect(files).not.toHaveProperty('pids')
  const texts = { cpu: '2000000000\n', memory: '4096\n', memory_stat: 'anon 1000\ninactive_file 96\n' }
  expect(statValuesIn(mixed, texts, false)).toEqual({ cpu_seconds: 2, memory_used_bytes: 4000, memory_rss_bytes: 1000 })
})

test('files that one program prints are told apart; a missing one has no text', () => {
  const printed = '==> /proc/1/stat <==\n1 (a) S\n\n==> /sys/x y <==\n5\n==> not a path\n'
  expect(textsIn(printed)).toEqual(
    new Map([
      ['/proc/1/stat', '1 (a) S\n\n'],
      ['/sys/x y', '5\n==> not a path\n'],
    ]),
  )
})
