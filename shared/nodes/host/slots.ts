/** A semaphore with a FIFO queue: at most `size` holders at a time. `take` returns the function that releases. */
export type Slots = { take: (signal?: AbortSignal) => Promise<() => void> }

export function createSlots(size: number): Slots {
  let free = size
  const waiting: (() => void)[] = []

  const giveBackOnce = () => {
    let given = false
    return () => {
      if (given) return
      given = true
      const next = waiting.shift()
      if (next) next()
      else free++
    }
  }

  return {
    take(signal) {
      signal?.throwIfAborted()
      if (free > 0) {
        free--
        return Promise.resolve(giveBackOnce())
      }
      return new Promise((resolve, reject) => {
        const start = () => {
          signal?.removeEventListener('abort', leave)
          resolve(giveBackOnce())
        }
        const leave = () => {
          waiting.splice(waiting.indexOf(start), 1)
          reject(signal?.reason as Error)
        }
        waiting.push(start)
        signal?.addEventListener('abort', leave, { once: true })
      })
    },
  }
}
