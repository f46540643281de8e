import type { Duplex } from 'node:stream'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { vmRecords } from '../model.ts'
import { endpointOf } from './endpoint.ts'

const takenWithinMs = 4000

/** Types text on a guest's serial console. Resolves when the hypervisor has read it. */
export async function writeSerial(id: string, text: string): Promise<null> {
  const vm = await vmRecords.require(id)
  const endpoint = await endpointOf(vm, 'serial')
  const input = endpoint.kind === 'serial' ? endpoint.input : null
  if (!input)
    throw new ConflictError(
      `The serial console of '${id}' can only be read: its definition has no unix socket for input`,
    )
  const { host } = await reach(vm.node)
  const socket = await host.openSocket(input)
  try {
    await send(socket, text)
  } finally {
    socket.destroy()
  }
  return null
}

/** Sends text, and waits until the other end closes: then all is read. The guest's output meanwhile is in its log. */
function send(socket: Duplex, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = () =>
      reject(
        new UnavailableError(
          'The guest does not read its serial console, or another program holds it; not all was typed',
        ),
      )
    const timer = setTimeout(refuse, takenWithinMs)
    const taken = () => {
      clearTimeout(timer)
      resolve()
    }
    socket.resume().once('end', taken).on('error', refuse).end(text)
  })
}
