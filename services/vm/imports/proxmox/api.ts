/** Reads the REST API of Proxmox VE (https://pve.proxmox.com/pve-docs/api-viewer/). It sends nothing but GET. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import type { ProxmoxConnection } from '#shared/contracts/vm/proxmox-imports.ts'
import { ConflictError, invalid, UnavailableError } from '#shared/errors.ts'

export type Api = {
  /** Name in messages. */
  name: string
  /** @param path below `/api2/json`. @returns the field `data` of the answer, which is not checked further */
  get: (path: string, query?: Record<string, string>) => Promise<unknown>
}

/** A request of Horcrux, in which two of these follow each other, has 4.5 s. */
const withinMs = 2000
const mostBytes = 32 * 2 ** 20

const nameOf = ({ address, port }: ProxmoxConnection) => `${address.includes(':') ? `[${address}]` : address}:${port}`

/**
 * Connects, and decides about the certificate before anything is sent.
 * @throws ValidationError of the fingerprint, with the one that the host shows
 */
async function secured(connection: ProxmoxConnection, signal: AbortSignal): Promise<TLSSocket> {
  const { address, port, fingerprint } = connection
  const socket = connect({
    host: address,
    port,
    // Without a fingerprint, `authorized` below tells what the authorities say.
    rejectUnauthorized: false,
    ...(isIP(address) === 0 && { servername: address }),
  })
  try {
    await once(socket, 'secureConnect', { signal })
  } catch (error) {
    socket.destroy()
    // Errors of OpenSSL have their reason beside a message with places in its source.
    const { reason, message } = error as Error & { reason?: string }
    throw new UnavailableError(`${nameOf(connection)} does not answer over TLS: ${reason ?? message}`)
  }
  const shown = socket.getPeerX509Certificate()?.fingerprint256 ?? 'none'
  if (fingerprint === undefined ? socket.authorized : fingerprint.toUpperCase() === shown) return socket
  socket.destroy()
  throw fingerprint === undefined
    ? invalid(
        'fingerprint',
        `${nameOf(connection)} shows a certificate of no trusted authority (${String(socket.authorizationError)}) with the SHA-256 fingerprint ${shown}: give it, if the host's own page, or pvenode cert info, shows the same`,
        'unknown_certificate',
      )
    : invalid(
        'fingerprint',
        `${nameOf(connection)} shows another certificate, with the SHA-256 fingerprint ${shown}`,
        'other_certificate',
      )
}

type Answer = { status: number; reason: string; text: string }

async function ask(connection: ProxmoxConnection, path: string): Promise<Answer> {
  const signal = AbortSignal.timeout(withinMs)
  const socket = await secured(connection, signal)
  try {
    const { token_id, token_secret } = connection
    const asked = request({
      method: 'GET',
      path,
      signal,
      createConnection: () => socket,
      headers: {
        host: nameOf(connection),
        authorization: `PVEAPIToken=${token_id}=${token_secret}`,
        accept: 'application/json',
        connection: 'close',
      },
    })
    asked.end()
    const [response] = (await once(asked, 'response', { signal })) as [IncomingMessage]
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > mostBytes) throw new ConflictError(`${nameOf(connection)} answers more than ${mostBytes} bytes`)
      chunks.push(chunk)
    }
    const text = Buffer.concat(chunks).toString('utf8')
    return { status: response.statusCode!, reason: response.statusMessage ?? '', text }
  } catch (error) {
    if (error instanceof ConflictError) throw error
    throw new UnavailableError(`${nameOf(connection)} does not answer: ${(error as Error).message}`)
  } finally {
    socket.destroy()
  }
}

/** @throws ValidationError for a token that is refused, or has not the rights */
function dataOf(name: string, path: string, { status, reason, text }: Answer): unknown {
  const why = `${status} ${reason}`.trim().slice(0, 300)
  if (status === 401) throw invalid('token_secret', `${name} refuses the API token: ${why}`, 'refused')
  if (status === 403)
    throw invalid(
      'token_id',
      `${name} does not let the API token read ${path}: ${why}; the role PVEAuditor on / does`,
      'forbidden',
    )
  if (status >= 500) throw new UnavailableError(`${name} fails to answer ${path}: ${why}`)
  try {
    const body = JSON.parse(text) as { data?: unknown }
    if (status === 200 && body.data !== undefined) return body.data
  } catch {
    // No JSON: told below.
  }
  throw new ConflictError(`${name} is no Proxmox VE API: it answers ${path} with ${why}`)
}

export const connectApi = (connection: ProxmoxConnection): Api => ({
  name: nameOf(connection),
  get: async (path, query = {}) => {
    const words = new URLSearchParams(query).toString()
    const whole = `/api2/json${path}${words && `?${words}`}`
    return dataOf(nameOf(connection), path, await ask(connection, whole))
  },
})
