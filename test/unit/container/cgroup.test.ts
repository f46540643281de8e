import { describe, expect, test } from 'vitest'
import { NotFoundError } from '#shared/errors.ts'
import { cgroupIn, processesFolderOf } from '#shared/nodes/host/cgroup/cgroup.ts'
import { folderIn, hierarchiesIn } from '#shared/nodes/host/cgroup/hierarchies.ts'
import { limitsOf, memoryUseOf, oomKillsOf } from '#shared/nodes/host/cgroup/limits.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { hybrid, legacy, unified } from './cgroup-mounts.ts'

/** A host that has only these files: the machines of the tests have one arrangement of control groups. */
const hostWith = (files: Record<string, string>) =>
  ({
    readFile: async (path: string) => {
      if (!(path in files)) throw new NotFoundError(`${path} not found`)
      return Buffer.from(files[path]!)
    },
  }) as unknown as Host

describe('the control groups of a container', () => {
  test('are found in version 1, by where each hierarchy is mounted', () => {
    const found = cgroupIn('7:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n1:name=systemd:/docker/ab\n', legacy)
    expect(found).toEqual({
      cpu: { version: 1, folder: '/sys/fs/cgroup/cpu,cpuacct/docker/ab' },
      cpuacct: { version: 1, folder: '/sys/fs/cgroup/cpu,cpuacct/docker/ab' },
      memory: { version: 1, folder: '/sys/fs/cgroup/memory/docker/ab' },
    })
  })

  test('are found in version 2, one folder for all controllers', () => {
    const found = cgroupIn('0::/system.slice/docker-ab.scope\n', unified)!
    expect(found.pids).toEqual({ version: 2, folder: '/sys/fs/cgroup/system.slice/docker-ab.scope' })
    expect(found.memory).toEqual(found.pids)
    expect(processesFolderOf(found)).toBe('/sys/fs/cgroup/system.slice/docker-ab.scope')
  })

  test('are found in a hybrid, each controller in the version that has it', () => {
    const found = cgroupIn('5:cpu,cpuacct:/ab\n2:pids:/\n0::/ab\n', hybrid)
    expect(found).toEqual({
      cpu: { version: 1, folder: '/sys/fs/cgroup/cpu,cpuacct/ab' },
      cpuacct: { version: 1, folder: '/sys/fs/cgroup/cpu,cpuacct/ab' },
      memory: { version: 2, folder: '/sys/fs/cgroup/unified/ab' },
      freezer: { version: 2, folder: '/sys/fs/cgroup/unified/ab' },
      blkio: { version: 2, folder: '/sys/fs/cgroup/unified/ab' },
    })
  })

  test('are those of the container, without the groups that its init makes', () => {
    const found = cgroupIn('4:memory:/lxc.payload.web/init.scope\n', legacy)
    expect(found?.memory?.folder).toBe('/sys/fs/cgroup/memory/lxc.payload.web')
  })

  test('are none for a process in the groups of the node, or one that is gone', () => {
    expect(cgroupIn('4:memory:/\n0::/\n', hybrid)).toBeNull()
    expect(cgroupIn('', unified)).toBeNull()
  })

  test('are found below the group that is mounted, where Horcrux itself is in a container', () => {
    const hierarchy = { path: '/sys/fs/cgroup', root: '/docker/us' }
    expect(folderIn(hierarchy, '/docker/us/them')).toBe('/sys/fs/cgroup/them')
    expect(folderIn(hierarchy, '/docker/usual')).toBeNull()
    expect(folderIn(hierarchy, '/docker/others')).toBeNull()
  })
})

test('hierarchies are those of the table of mounts, whatever their folders are called', () => {
  const table =
    '30 25 0:26 / /cg\\040mem rw - cgroup none rw,memory\n31 25 0:27 / /cg2 rw - cgroup2 none rw\n9 1 8:1 / / rw - ext4 /dev/vda rw\n'
  const { version1, version2 } = hierarchiesIn(table)
  expect(version1.get('memory')).toEqual({ path: '/cg mem', root: '/' })
  expect(version1.has('cpu')).toBe(false)
  expect(version2).toEqual({ path: '/cg2', root: '/' })
})

test('limits and killed processes are read in version 2', async () => {
  const cgroup = cgroupIn('0::/c', unified)!
  const host = hostWith({
    '/sys/fs/cgroup/c/memory.max': '67108864\n',
    '/sys/fs/cgroup/c/cpu.max': '50000 100000\n',
    '/sys/fs/cgroup/c/pids.max': 'max\n',
    '/sys/fs/cgroup/c/memory.events': 'low 0\noom 3\noom_kill 2\n',
    '/sys/fs/cgroup/c/memory.current': '20971520\n',
    '/sys/fs/cgroup/c/memory.stat': 'anon 1\ninactive_file 10485760\n',
  })
  expect(await limitsOf(host, cgroup)).toEqual({ memory: 64, cpus: 0.5, pids: null })
  expect(await oomKillsOf(host, cgroup)).toBe(2)
  expect(await memoryUseOf(host, cgroup)).toBe(10)
  expect(await limitsOf(hostWith({}), cgroup)).toBeNull()
  expect(await oomKillsOf(hostWith({}), cgroup)).toBeNull()
})

test.each(['9223372036854771712', '18446744073709551615'])('the limit %s of version 1 is none', async (largest) => {
  const cgroup = cgroupIn('4:memory:/c\n5:cpu:/c\n6:pids:/c', legacy)!
  const host = hostWith({
    '/sys/fs/cgroup/memory/c/memory.limit_in_bytes': `${largest}\n`,
    '/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us': '-1\n',
    '/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us': '100000\n',
    '/sys/fs/cgroup/pids/c/pids.max': '100\n',
  })
  expect(await limitsOf(host, cgroup)).toEqual({ memory: null, cpus: null, pids: 100 })
})

test('limits of a hybrid are read where each controller is', async () => {
  const cgroup = cgroupIn('5:cpu,cpuacct:/c\n0::/c\n', hybrid)!
  const host = hostWith({
    '/sys/fs/cgroup/unified/c/memory.max': '67108864\n',
    '/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us': '150000\n',
    '/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us': '100000\n',
  })
  expect(await limitsOf(host, cgroup)).toEqual({ memory: 64, cpus: 1.5, pids: null })
})
