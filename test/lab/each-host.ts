import type { Host } from '#shared/host/host.ts'
import { localHost } from '#shared/host/local.ts'
import { sshHost } from '#shared/host/ssh.ts'
import { sshTarget } from './hosts.ts'
import { labHosts } from './lab.ts'

/** Every implementation of Host that can be tested here: one line per implementation. */
export const eachHost: { kind: string; open: () => Host }[] = [
  { kind: 'local', open: () => localHost() },
  ...labHosts.slice(0, 1).map((host) => ({ kind: 'ssh', open: () => sshHost(sshTarget(host)) })),
]
