import type { Duplex } from 'node:stream'
import { log } from '#shared/runtime/log.ts'

/** Writes input to a serial console. */
export type SerialInput = {
  /** Resolves when there is room for more. */
  write: (bytes: Buffer) => Promise<void>
  close: () => void
}

/** QEMU serves one connection at a time: it is given back as soon as nobody types. */
const idleMs = 250
/** Input that the guest does not read within this time is dropped. */
const patienceMs = 10_000

export function serialInput(open: () => Promise<Duplex>): SerialInput {
  let connected: Duplex | undefined
  let leaving: Promise<void> = Promise.resolve()
  let idle: NodeJS.Timeout | undefined
  let queue: Promise<void> = Promise.resolve()

  const connect = async (): Promise<Duplex> => {
    if (connected && !connected.destroyed) return connected
    await leaving
    const socket = await open()
    connected = socket
    const forget = () => {
      if (connected === socket) connected = undefined
    }
    // The guest's output is read from its log; here it is only drained.
    socket.resume().on('error', forget).once('end', forget).once('close', forget)
    return socket
  }

  /** Lets QEMU read what is left, and then go. */
  const leave = () => {
    const socket = connected
    connected = undefined
    if (!socket) return
    leaving = new Promise((resolve) => {
      const timer = setTimeout(() => socket.destroy(), patienceMs)
      socket.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
      socket.once('end', () => socket.destroy())
      socket.end()
    })
  }

  const send = async (bytes: Buffer) => {
    clearTimeout(idle)
    const socket = await connect()
    if (!socket.write(bytes)) await roomIn(socket)
    idle = setTimeout(leave, idleMs)
  }

  return {
    write: (bytes) =>
      (queue = queue
        .then(() => send(bytes))
        .catch((error: Error) => log('gateway').debug({ err: error }, 'what was typed did not arrive'))),
    close: () => {
      clearTimeout(idle)
      leave()
    },
  }
}

/** Waits until a socket takes more, or has taken nothing for too long and is given up. */
function roomIn(socket: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), patienceMs)
    const done = () => {
      clearTimeout(timer)
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}
