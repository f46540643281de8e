import type { ContainerRecord } from '../model.ts'
import { unseal } from '#shared/config/secrets.ts'
import { ConflictError } from '#shared/errors.ts'
import { killMarked, signalMarked } from '#shared/nodes/marked-processes.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { Command } from '../drivers/process.ts'
import { markOf, requireRunning } from '../exec/exec.ts'
import { containerRecords } from '../model.ts'
import type { StreamTicket } from './models.ts'
import { keepStream, type Signal } from './running.ts'

export type Asked = Omit<Command, 'env'> & { env: Record<string, string> }
export const sealedFor = 'container stream'

const lineOf = (id: string) => markOf(id).join('=')

/** Kills the command of a ticket, wherever the container's processes are by now. */
export async function killCommand({ id, container_id }: Pick<StreamTicket, 'id' | 'container_id'>): Promise<void> {
  const container = await containerRecords.get(container_id)
  if (!container || container.pid === null) return
  const { host } = await reach(container.node)
  await killMarked(host, container.pid, lineOf(id))
}

async function sendSignal({ node, pid }: ContainerRecord, id: string, name: Signal): Promise<void> {
  const { host } = await reach(node)
  if (pid !== null) await signalMarked(host, pid, lineOf(id), name)
}

/** Begins the stream of a ticket in this replica. @throws ConflictError when the container does not run */
export async function begin(ticket: StreamTicket): Promise<void> {
  const { id, kind, container_id, sealed } = ticket
  if (kind === 'logs') return
  const container = await requireRunning(container_id, kind === 'exec' ? 'run a command in' : 'attach to')
  // Sealed by the action that made the ticket.
  const asked = JSON.parse(unseal(sealed ?? '', sealedFor)) as Asked
  if (kind === 'attach') {
    const process = await driverOf(container).attach(container, asked.hasInput)
    return keepStream(id, { process, signal: null, kill: null })
  }
  const [name, value] = markOf(id)
  const process = await driverOf(container).exec(container, { ...asked, env: { ...asked.env, [name]: value } })
  keepStream(id, {
    process,
    signal: (signal) => sendSignal(container, id, signal),
    kill: () => killCommand(ticket),
  })
}

/** @throws ConflictError when a container has too many of them */
export function requireFew(open: number, { id }: Pick<ContainerRecord, 'id'>): void {
  if (open < mostStreams) return
  throw new ConflictError(`Container '${id}' has ${mostStreams} open streams, which is the most: close one first`)
}
const mostStreams = 50
