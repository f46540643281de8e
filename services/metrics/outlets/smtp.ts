import type { ShownOutletConfig } from '#shared/contracts/metrics/alert-parts.ts'
import type { Outcome } from './backoff.ts'
import { mailOf, type Message } from './message.ts'

const patienceMs = 20_000

type Config = ShownOutletConfig & { kind: 'smtp' }

/** Sends a message as mail. Its id is the Message-ID, so that mail programs show a repetition once. */
export async function sendMail(config: Config, password: string | null, message: Message): Promise<Outcome> {
  // The library is loaded by the first mail.
  const { createTransport } = await import('nodemailer')
  const { host, port, tls, user, from, to } = config
  const transport = createTransport({
    host,
    port,
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'off',
    connectionTimeout: patienceMs,
    greetingTimeout: patienceMs,
    socketTimeout: patienceMs,
    disableFileAccess: true,
    disableUrlAccess: true,
    ...(user !== undefined && password !== null && { auth: { user, pass: password } }),
  })
  try {
    await transport.sendMail({ from, to, messageId: `<${message.id}@horcrux>`, ...mailOf(message) })
    return { is: 'sent' }
  } catch (error) {
    return outcomeOfError(error as Error & { responseCode?: number })
  } finally {
    transport.close()
  }
}

/** 5xx of SMTP is a permanent refusal (RFC 5321 4.2.1); 4xx, and a server that is away, may be tried again. */
export function outcomeOfError({ message, responseCode }: Error & { responseCode?: number }): Outcome {
  const error = `The mail server did not take it: ${message}`
  return responseCode !== undefined && responseCode >= 500
    ? { is: 'failed', error, final: true }
    : { is: 'failed', error }
}
