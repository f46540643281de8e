import { hierarchiesIn } from '#shared/nodes/host/cgroup/hierarchies.ts'

const line = (path: string, type: 'cgroup' | 'cgroup2', options: string) =>
  `32 31 0:29 / /sys/fs/cgroup${path} rw,relatime shared:9 - ${type} ${type} rw${options}\n`

const version1 = (controllers: string) => line(`/${controllers}`, 'cgroup', `,${controllers}`)

/** Control groups of version 1 alone, as systemd mounts them. */
export const legacy = hierarchiesIn(
  ['cpu,cpuacct', 'memory', 'pids', 'freezer', 'blkio'].map(version1).join('') +
    line('/systemd', 'cgroup', ',xattr,name=systemd'),
)
/** Version 2 alone. */
export const unified = hierarchiesIn(line('', 'cgroup2', ''))
/** CPU and processes in version 1, everything else in version 2 (`cgroup_no_v1=memory,blkio,freezer`). */
export const hybrid = hierarchiesIn(['cpu,cpuacct', 'pids'].map(version1).join('') + line('/unified', 'cgroup2', ''))
