import { isDeepStrictEqual } from 'node:util'
import type { Host } from './host.ts'
import { localHost } from './local/local.ts'
import { type SshTarget, sshHost } from './ssh/ssh.ts'

/** Connection data of a node. */
export type HostDescription = { kind: 'local' } | ({ kind: 'ssh' } & SshTarget)

type OpenRemote = (nodeId: string, target: SshTarget) => Host
let openRemote: OpenRemote = (_, target) => sshHost(target)

/** Opens all hosts but this machine in another way, such as those of a simulation. */
export const replaceRemoteHosts = (open: OpenRemote): void => void (openRemote = open)

export type Hosts = {
  /**
   * The Host of a node. A changed description replaces it, and ends all programs of the old one; but another pinned host
   * key counts only for its next connection.
   */
  hostFor: (nodeId: string, description: HostDescription) => Host
  /** Closes the Host of a node that is removed. */
  closeHost: (nodeId: string) => Promise<void>
  closeAll: () => Promise<void>
}

/** A registry of hosts by node id. `searchPath` is the PATH for programs on this machine. */
export function createHosts(options: { searchPath?: string } = {}): Hosts {
  const known = new Map<string, { description: HostDescription; host: Host }>()

  const open = (nodeId: string, description: HostDescription) =>
    description.kind === 'local' ? localHost(options) : openRemote(nodeId, description)

  async function closeHost(nodeId: string): Promise<void> {
    const entry = known.get(nodeId)
    known.delete(nodeId)
    await entry?.host.close()
  }

  return {
    hostFor(nodeId, description) {
      const entry = known.get(nodeId)
      if (entry && isDeepStrictEqual(entry.description, description)) return entry.host
      if (entry?.host.pin && isOtherKeyOnly(entry.description, description)) {
        entry.host.pin(description.hostKey)
        entry.description = { ...description }
        return entry.host
      }
      void closeHost(nodeId)
      const host = open(nodeId, description)
      known.set(nodeId, { description: { ...description }, host })
      return host
    },
    closeHost,
    async closeAll() {
      await Promise.all([...known.keys()].map(closeHost))
    },
  }
}

/** True when two descriptions of a host over SSH differ in the pinned key alone. */
function isOtherKeyOnly(
  before: HostDescription,
  after: HostDescription,
): after is Extract<HostDescription, { kind: 'ssh' }> {
  if (before.kind !== 'ssh' || after.kind !== 'ssh') return false
  return isDeepStrictEqual({ ...before, hostKey: after.hostKey }, after)
}

/** The registry of this process: all its services share one connection per node. */
export const { hostFor, closeHost, closeAll } = createHosts()
