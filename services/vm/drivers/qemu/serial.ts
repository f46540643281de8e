import { type Reached, reach } from '#shared/nodes.ts'
import type { Guest } from '../driver.ts'

const tailBytes = 256 * 1024

/** The file on a node that has what a guest wrote to its serial console since its last start. */
export const serialLogOf = ({ node }: Pick<Reached, 'node'>, id: string) => `${node.state_dir}/serial/${id}.log`

/** The end of that file; nothing for a guest that never ran. */
export async function serialText({ id, node }: Guest): Promise<string> {
  const reached = await reach(node)
  const log = serialLogOf(reached, id)
  if ((await reached.host.stat(log)) === null) return ''
  const { stdout } = await reached.host.runChecked('tail', ['-c', String(tailBytes), '--', log])
  return stdout
}
