import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { sshHost } from '#shared/nodes/host/ssh/ssh.ts'
import { sshTarget } from './hosts.ts'
import { labHosts } from './lab.ts'

/** Every implementation of Host that can be tested here: one line per implementation. */
export const eachHost: { kind: string; open: () => Host }[] = [
  { kind: 'local', open: () => localHost() },
  ...labHosts.slice(0, 1).map((host) => ({ kind: 'ssh', open: () => sshHost(sshTarget(host)) })),
]
