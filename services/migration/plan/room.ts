import { call } from '#shared/bus/call.ts'
import { placement } from '#shared/contracts/cluster/placement.ts'
import { ConflictError, type Violation } from '#shared/errors.ts'

/** Violation codes of the resources that a node can lack. */
const codes = { memory: 'memory', vcpus: 'vcpus', measured: 'memory_free' } as const

/** Resources that a node lacks for a guest that is to run there. @throws UnavailableError when the node does not answer */
export async function roomViolations(vm: string, node: string): Promise<Violation[]> {
  const found = await call(placement, 'room', { vm, node }, { timeoutMs: 30_000 })
  return found.map(({ kind, text }) => ({
    field: 'target_node',
    code: codes[kind],
    message: `node '${node}': ${text}`,
  }))
}

/**
 * Checks the room again when the guest is noted as moving: migrations that were accepted at the same time see each other
 * by then.
 * @throws ConflictError
 */
export async function requireRoom(vm: string, node: string): Promise<void> {
  const found = await roomViolations(vm, node)
  if (found.length === 0) return
  const reasons = found.map(({ message }) => message).join('; ')
  throw new ConflictError(`Virtual machine '${vm}' does not fit any more: ${reasons}`)
}
