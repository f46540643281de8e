import { hash } from 'node:crypto'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { Guest } from '../../guest.ts'

const tailBytes = 256 * 1024

/** The log of a guest's serial console since its last start, on its node. */
export const serialLogOf = ({ node }: Pick<Reached, 'node'>, id: string) => `${node.state_dir}/serial/${id}.log`

/** A Unix socket's path is at most this long (sun_path of unix(7)). */
const maxSocketPath = 107

/** The socket for input to a guest's serial console, on its node. */
export function serialSocketOf({ node }: Pick<Reached, 'node'>, id: string): string {
  const path = `${node.state_dir}/serial/${id}.sock`
  if (Buffer.byteLength(path) <= maxSocketPath) return path
  return `${node.state_dir}/serial/${hash('sha256', id, 'hex').slice(0, 12)}.sock`
}

/** The end of the log; empty for a guest that never ran. */
export async function serialText({ id, node }: Guest): Promise<string> {
  const reached = await reach(node)
  const log = serialLogOf(reached, id)
  if ((await reached.host.stat(log)) === null) return ''
  const { stdout } = await reached.host.runChecked('tail', ['-c', String(tailBytes), '--', log])
  return stdout
}
