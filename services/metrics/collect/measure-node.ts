import { statfs } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import type { Reached } from '#shared/nodes/nodes.ts'
import { bootTimeIn, clampTimes, nodeValues, type NodeValues } from '../sources/proc.ts'
import { localReader, type NodeReader, remoteReader } from '../sources/node-source.ts'
import type { Row } from '../history/ring.ts'
import { clock } from './subjects.ts'

/** The size of a file system changes slowly. */
const spaceEveryMs = 30_000
const patienceMs = 4000

/** A node under measurement: its open files and the values of before. */
export type NodeProbe = { measure: () => Promise<Row>; close: () => void }

/** In a container /proc/net/dev has the interfaces of the container, not of the node. */
const isInContainer = () => existsSync('/.dockerenv') || existsSync('/run/.containerenv')

export function probeNode(reached: Reached): NodeProbe {
  const { node, host } = reached
  const isLocal = node.kind === 'local'
  const reader: NodeReader = isLocal ? localReader() : remoteReader(host)
  const hidesNetwork = isLocal && isInContainer()
  let before: { boot: string; values: NodeValues } | undefined
  let space: NodeValues = {}
  let spaceAt = -Infinity
  let isAsking = false

  /** Asks for the space in the background: a file system that hangs delays no sample. */
  const askSpace = () => {
    if (isAsking || performance.now() - spaceAt < spaceEveryMs) return
    isAsking = true
    void (isLocal ? localSpace(node.state_dir) : remoteSpace(reached))
      .then(
        (found) => (space = found),
        () => (space = {}),
      )
      .finally(() => {
        spaceAt = performance.now()
        isAsking = false
      })
  }

  return {
    close: reader.close,
    async measure() {
      askSpace()
      const asked = Date.now()
      const texts = await reader.read()
      const { time, steady } = clock()
      const boot = texts.boot?.trim() ?? 'unknown'
      if (hidesNetwork) delete texts.network
      const values = nodeValues(texts)
      clampTimes(values, before?.boot === boot ? before.values : undefined)
      before = { boot, values }
      const skew = skewOf(bootTimeIn(texts.stat), values.uptime_seconds, (asked + Date.now()) / 2)
      return {
        time,
        steady,
        identity: { id: boot, node: node.id },
        source: 'proc',
        quality: 'fresh',
        values: { ...values, ...space, ...(skew !== undefined && { clock_skew_seconds: skew }) },
      }
    },
  }
}

/** The kernel tells the time of its boot in whole seconds, so that less than a second is no difference. */
export function skewOf(bootTime: number | undefined, uptime: number | undefined, ownMs: number): number | undefined {
  if (bootTime === undefined || uptime === undefined) return undefined
  const skew = bootTime + uptime - ownMs / 1000
  return Math.abs(skew) <= 1 ? 0 : Math.round(skew)
}

async function localSpace(path: string): Promise<NodeValues> {
  const { bsize, blocks, bavail } = await statfs(path)
  return { filesystem_size_bytes: blocks * bsize, filesystem_available_bytes: bavail * bsize }
}

async function remoteSpace({ host, node }: Reached): Promise<NodeValues> {
  const { stdout } = await host.runChecked('df', ['-P', '-B', '1', node.state_dir], { timeoutMs: patienceMs })
  // Filesystem 1-blocks Used Available Capacity Mounted on
  const [, size, , available] = stdout.trim().split('\n').at(-1)!.split(/\s+/)
  return { filesystem_size_bytes: Number(size), filesystem_available_bytes: Number(available) }
}

/** The row of a node that does not answer: its counters are missing, and `up` is 0. */
export function rowOfLost(node: string, last: string | undefined, error: Error): Row {
  return {
    ...clock(),
    identity: { id: last ?? 'unknown', node },
    source: 'proc',
    quality: 'missing',
    reason: 'not_measured',
    because: error.message,
    values: { up: 0 },
  }
}
