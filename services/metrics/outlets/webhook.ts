import { type Outcome, outcomeOf } from './backoff.ts'
import { type Message, signatureOf } from './message.ts'

const patienceMs = 10_000

/** Posts a message to a webhook, signed. Redirections are not followed: they would carry the message elsewhere. */
export async function postMessage(url: string, secret: string, message: Message): Promise<Outcome> {
  const body = JSON.stringify(message)
  const timestamp = String(Math.floor(Date.now() / 1000))
  try {
    const answer = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      signal: AbortSignal.timeout(patienceMs),
      headers: {
        'content-type': 'application/json',
        'user-agent': 'Horcrux',
        'x-horcrux-delivery': message.id,
        'x-horcrux-event': message.event,
        'x-horcrux-timestamp': timestamp,
        'x-horcrux-signature': signatureOf(secret, timestamp, body),
      },
      body,
    })
    await answer.body?.cancel()
    return outcomeOf(answer.status, answer.headers.get('retry-after'), Date.now())
  } catch (error) {
    const { name, message: text, cause } = error as Error
    const why =
      name === 'TimeoutError' ? `did not answer within ${patienceMs / 1000} s` : ((cause as Error)?.message ?? text)
    return { is: 'failed', error: `The receiver could not be reached: ${why}` }
  }
}
