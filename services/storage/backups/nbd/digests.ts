import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { chunkBytes } from '../store/chunks.ts'

const script = readFileSync(new URL('digest-chunks.py', import.meta.url), 'utf8')

/** Ids of chunks of an image that its own node computes: the bytes stay there. */
export type Digests = {
  /** The id of each chunk, as soon as it is there; null: of zeros. */
  of: (indexes: readonly number[]) => Map<number, Promise<string | null>>
  close: () => Promise<void>
}

/**
 * Starts a program on the node of an image that hashes chunks which qemu-nbd reads.
 * @param path the socket of qemu-nbd on the node, which takes a second client
 * @returns null when the node has no Python
 */
export async function startDigests(host: Host, path: string, sizeBytes: number): Promise<Digests | null> {
  const python = await host.which('python3')
  if (python === null) return null
  const words = ['-c', script, path, String(chunkBytes), String(sizeBytes)]
  const child = await host.spawn(python, words)
  const asked = new Map<number, { resolve: (id: string | null) => void; reject: (error: unknown) => void }>()
  let ended: UnavailableError | undefined
  child.stdin.on('error', () => undefined)
  const lines = createInterface({ input: child.stdout })
  // The exit tells of a host that is lost.
  lines.on('error', () => undefined)
  lines.on('line', (line) => {
    const [index, id] = line.split(' ') as [string, string]
    asked.get(Number(index))?.resolve(id === '-' ? null : id)
    asked.delete(Number(index))
  })
  const failAll = (why: string) => {
    ended ??= new UnavailableError(`The image cannot be read on ${host.describe()}: ${why}`)
    for (const { reject } of asked.values()) reject(ended)
    asked.clear()
  }
  child.exit.then(
    ({ code, stderr }) => setImmediate(failAll, stderr.trim() || `python3 ends with code ${code}`),
    (error: Error) => failAll(error.message),
  )
  return {
    of(indexes) {
      const found = new Map<number, Promise<string | null>>()
      for (const index of indexes) {
        const { promise, resolve, reject } = Promise.withResolvers<string | null>()
        // It may fail before it is waited for.
        promise.catch(() => undefined)
        found.set(index, promise)
        if (ended) reject(ended)
        else asked.set(index, { resolve, reject })
      }
      if (!ended && indexes.length > 0) child.stdin.write(`${indexes.join(' ')}\n`)
      return found
    },
    async close() {
      child.stdin.end()
      await child.kill()
    },
  }
}
