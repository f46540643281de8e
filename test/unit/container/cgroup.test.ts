import { expect, test } from 'vitest'
import { NotFoundError } from '#shared/errors.ts'
import { cgroupIn, limitsOf, oomKillsOf } from '#shared/nodes/cgroup.ts'
import type { Host } from '#shared/nodes/host/host.ts'

/** A host that has only these files: version 2 of control groups is not mounted on the machines of the tests. */
const hostWith = (files: Record<string, string>) =>
  ({
    readFile: async (path: string) => {
      if (!(path in files)) throw new NotFoundError(`${path} not found`)
      return Buffer.from(files[path]!)
    },
  }) as unknown as Host

test('the control group of a container is found in both versions, without the groups that its init makes', () => {
  const one = cgroupIn('7:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n0::/\n')
  expect(one?.version).toBe(1)
  expect(one?.folderOf('memory')).toBe('/sys/fs/cgroup/memory/docker/ab')
  expect(one?.folderOf('cpu')).toBe('/sys/fs/cgroup/cpu/docker/ab')
  const lxc = cgroupIn('4:memory:/lxc.payload.web/init.scope\n')
  expect(lxc?.folderOf('memory')).toBe('/sys/fs/cgroup/memory/lxc.payload.web')
  const two = cgroupIn('0::/system.slice/docker-ab.scope\n')
  expect(two?.version).toBe(2)
  expect(two?.folderOf('pids')).toBe('/sys/fs/cgroup/system.slice/docker-ab.scope')
  expect(cgroupIn('4:memory:/\n0::/\n')).toBeNull()
  expect(cgroupIn('')).toBeNull()
})

test('limits and killed processes are read in version 2', async () => {
  const cgroup = cgroupIn('0::/c')!
  const host = hostWith({
    '/sys/fs/cgroup/c/memory.max': '67108864\n',
    '/sys/fs/cgroup/c/cpu.max': '50000 100000\n',
    '/sys/fs/cgroup/c/pids.max': 'max\n',
    '/sys/fs/cgroup/c/memory.events': 'low 0\noom 3\noom_kill 2\n',
  })
  expect(await limitsOf(host, cgroup)).toEqual({ memory: 64, cpus: 0.5, pids: null })
  expect(await oomKillsOf(host, cgroup)).toBe(2)
  expect(await limitsOf(hostWith({}), cgroup)).toBeNull()
  expect(await oomKillsOf(hostWith({}), cgroup)).toBeNull()
})

test('limits are read in version 1, whose word for none is the largest number', async () => {
  const cgroup = cgroupIn('4:memory:/c\n5:cpu:/c\n6:pids:/c')!
  const host = hostWith({
    '/sys/fs/cgroup/memory/c/memory.limit_in_bytes': '9223372036854771712\n',
    '/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us': '-1\n',
    '/sys/fs/cgroup/cpu/c/cpu.cfs_period_us': '100000\n',
    '/sys/fs/cgroup/pids/c/pids.max': '100\n',
  })
  expect(await limitsOf(host, cgroup)).toEqual({ memory: null, cpus: null, pids: 100 })
})
