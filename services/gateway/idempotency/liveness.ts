import { ErrorCode, type NatsError } from 'nats'
import { v4 } from 'uuid'
import { bus, busIsBackForMs, respond } from '#shared/bus/bus.ts'

const me = v4()
const working = new Set<string>()
const subject = (process: string) => `horcrux.idempotency.${process}`
const answersWithinMs = 400
/** After the bus was away others may not be back on it yet. */
const settledMs = 2000

/** A new name for one piece of work of this process. */
export function beginWork(): string {
  const holder = `${me}/${v4()}`
  working.add(holder)
  return holder
}
export const endWork = (holder: string) => working.delete(holder)

/** Tells other gateways what this one still works on. @returns a function that stops it */
export function answerWhetherAtWork(): () => void {
  const subscription = bus().nats.subscribe(subject(me), {
    callback: (_, message) => respond(message, working.has(message.string()) ? '1' : '0'),
  })
  return () => subscription.unsubscribe()
}

/** Whether somebody may still be at a piece of work: not when its gateway has died or has let go of it. */
export async function mayBeAtWork(holder: string): Promise<boolean> {
  const process = holder.split('/')[0]!
  if (process === me) return working.has(holder)
  if (busIsBackForMs() < settledMs) return true
  try {
    const answer = await bus().nats.request(subject(process), holder, { timeout: answersWithinMs })
    return answer.string() === '1'
  } catch (error) {
    return (error as NatsError).code !== ErrorCode.NoResponders
  }
}
