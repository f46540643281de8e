import type { Agent } from 'undici'
import type { Forward, Host } from '../host/host.ts'
import { doneWithinSeconds } from './client.ts'

type Opened = { path: string; made: Promise<{ forward: Forward; dispatcher: Agent }> }

/** The HTTP connections to one engine of a host, over its forwarded Unix socket; made anew when the path changes. */
export function socketPool(host: Host) {
  let opened: Opened | undefined

  const make = async (path: string) => {
    // Loaded at its first use: a process without such an engine spares 4 MB.
    const { Agent } = await import('undici')
    const forward = await host.forwardSocket({ path })
    const headersTimeout = (doneWithinSeconds + 10) * 1000
    return { forward, dispatcher: new Agent({ connect: { socketPath: forward.path }, headersTimeout }) }
  }

  const close = async () => {
    const there = opened
    opened = undefined
    // One that could not be made needs no closing.
    const made = await there?.made.catch(() => undefined)
    await made?.dispatcher.destroy()
    await made?.forward.close()
  }

  const open = async (path: string): Promise<{ dispatcher: Agent; socketPath: string }> => {
    if (opened?.path !== path) {
      void close()
      const made = make(path)
      opened = { path, made }
      made.catch(() => {
        if (opened?.made === made) opened = undefined
      })
    }
    const { forward, dispatcher } = await opened.made
    return { dispatcher, socketPath: forward.path }
  }
  return { open, close }
}
