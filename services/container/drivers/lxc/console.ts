import { type Named, pathOf } from '#shared/nodes/lxc/tools.ts'
import type { ConsoleLog } from '../log-lines.ts'

type Part = Awaited<ReturnType<ConsoleLog['read']>>

/** A part of the file that LXC writes the console of a container to; empty for a container without one. */
export async function readConsole(named: Named, from: number | 'end', maxBytes: number): Promise<Part> {
  const path = `${pathOf(named)}/console.log`
  const total = (await named.host.stat(path))?.sizeBytes ?? 0
  const start = from === 'end' ? Math.max(0, total - maxBytes) : Math.min(from, total)
  if (start >= total) return { bytes: Buffer.alloc(0), start, total }
  const block = 4096
  const first = Math.floor(start / block)
  const count = Math.ceil((start - first * block + maxBytes) / block)
  const words = [`if=${path}`, `bs=${block}`, `skip=${first}`, `count=${count}`, 'status=none']
  const { bytes } = await named.host.runChecked('dd', words)
  const skipped = start - first * block
  return { bytes: bytes.subarray(skipped, skipped + maxBytes), start, total }
}
