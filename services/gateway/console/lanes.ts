import type { Reach } from '#shared/contracts/cluster/nodes.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { closeHost } from '#shared/nodes/host/hosts.ts'
import { hostApart } from '#shared/nodes/nodes.ts'

/** sshd bears ten sessions on one connection (MaxSessions), and a host here six streams. */
const streamsPerLane = 5

/** Connections that only follow logs, as many as it takes, so that consoles and other work do not wait for each other. */
const used = new Map<string, number>()

/** A place for one stream to a node. `release` gives it back; a connection that nobody uses is closed. */
export function takeLane(node: Reach): { host: Host; release: () => void } {
  let number = 0
  const nameOf = (lane: number) => `consoles-${lane}`
  const countOf = (lane: number) => used.get(`${node.id}/${nameOf(lane)}`) ?? 0
  while (countOf(number) >= streamsPerLane) number++
  const key = `${node.id}/${nameOf(number)}`
  used.set(key, countOf(number) + 1)
  let isHeld = true
  const release = () => {
    if (!isHeld) return
    isHeld = false
    const left = (used.get(key) ?? 1) - 1
    used.set(key, left)
    if (left > 0) return
    used.delete(key)
    void closeHost(key)
  }
  return { host: hostApart(node, nameOf(number)), release }
}
