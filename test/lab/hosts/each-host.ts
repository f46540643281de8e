import { withSafeFiles } from '#shared/nodes/host/files-by-programs.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { sshHost } from '#shared/nodes/host/ssh/ssh.ts'
import { sshTarget } from './hosts.ts'
import { labHosts } from './lab.ts'

type Opened = { kind: string; open: () => Host }

/** Every implementation of Host that can be tested here: one line per implementation. */
export const eachHost: Opened[] = [
  { kind: 'local', open: () => localHost() },
  ...labHosts.slice(0, 1).map((host) => ({ kind: 'ssh', open: () => sshHost(sshTarget(host)) })),
]

/** As {@link eachHost}, and each with the file methods for storage that may hang. */
export const eachHostWithFiles: Opened[] = eachHost.flatMap(({ kind, open }) => [
  { kind, open },
  { kind: `safe ${kind}`, open: () => withSafeFiles(open(), 'a lane') },
])
