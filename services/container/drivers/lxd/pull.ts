import { isIP } from 'node:net'
import { once } from 'node:events'
import { connect } from 'node:tls'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import type { LxdKind } from '#shared/nodes/lxd/engine.ts'
import type { ImageServer, Watching } from '../parts.ts'
import { unlessGone } from './find.ts'

/** Status codes of a background operation ("REST API": status codes). */
const running = new Set([103, 105])
const succeeded = 200
/** Time of one wait for the engine, which then tells how far it is. */
const waitSeconds = 1
const certificateWithinMs = 10_000

/** The form in which fingerprints are compared and shown: 64 digits. */
const plain = (fingerprint: string) => fingerprint.replaceAll(':', '').toLowerCase()

/**
 * Reads the certificate of a server over the node, as the engine there would see it.
 * @returns it in PEM
 * @throws ConflictError when its SHA-256 fingerprint is another one
 */
async function pinnedCertificate(host: Host, { url, certificate }: ImageServer & { certificate: string }) {
  const { hostname, port } = new URL(url)
  // A literal IPv6 address stands in brackets.
  const address = hostname.replace(/^\[|\]$/g, '')
  const socket = await host.openSocket({ host: address, port: Number(port || 443) })
  const secure = connect({
    socket,
    // The fingerprint decides, not the authorities.
    rejectUnauthorized: false,
    ...(isIP(address) === 0 && { servername: address }),
  })
  try {
    await once(secure, 'secureConnect', { signal: AbortSignal.timeout(certificateWithinMs) })
    const shown = secure.getPeerX509Certificate()
    if (shown === undefined) throw new ConflictError(`The image server ${url} shows no certificate`)
    const [expected, found] = [plain(certificate), plain(shown.fingerprint256)]
    if (found === expected) return shown.toString()
    throw new ConflictError(`The image server ${url} shows another certificate: ${found}, and not ${expected}`, {
      details: { reason: 'certificate', expected, shown: found },
    })
  } catch (error) {
    if (error instanceof ConflictError) throw error
    throw new UnavailableError(`The image server ${url} does not answer over TLS`, { cause: error })
  } finally {
    secure.destroy()
    socket.destroy()
  }
}

/** The percentage in the engine's words, such as `rootfs: 45% (1.20MB/s)`; that of the short description is left out. */
export function percentOf(metadata: unknown): number | null {
  const words = (metadata as { download_progress?: unknown } | null)?.download_progress
  if (typeof words !== 'string' || words.startsWith('metadata')) return null
  const percent = /(\d+)%/.exec(words)?.[1]
  return percent === undefined ? null : Number(percent)
}

const fingerprintsOf = async (api: Api): Promise<Set<string>> =>
  new Set(((await api.get<string[] | null>('/1.0/images')) ?? []).map((path) => path.split('/').at(-1)!))

type Ended = { code: number; error: string; metadata: unknown }

async function endOf(api: Api, operation: string, { signal, progress }: Watching): Promise<Ended> {
  for (;;) {
    const now = await api.ended(operation, waitSeconds)
    const percent = percentOf(now.metadata)
    if (percent !== null) progress(percent, 100, 'steps')
    if (!running.has(now.code) || signal.aborted) return now
  }
}

/** Ends a download, and removes the image of one that was complete before it heard of it. */
async function cancel(api: Api, operation: string, before: ReadonlySet<string>): Promise<void> {
  // An engine refuses it for a download that has just ended.
  await api.send('DELETE', operation).catch((error: unknown) => {
    if (!(error instanceof ConflictError)) throw error
  })
  for (;;) {
    const now = await unlessGone(api.ended(operation, waitSeconds))
    if (now && running.has(now.code)) continue
    const made = (now?.metadata as { fingerprint?: string } | null | undefined)?.fingerprint
    if (now?.code === succeeded && made !== undefined && !before.has(made))
      await unlessGone(api.send('DELETE', `/1.0/images/${encodeURIComponent(made)}`))
    return
  }
}

/**
 * Has the engine download an image of an image server.
 * @param image alias or fingerprint there
 * @returns the fingerprint
 */
export async function download(
  { api, host, kind }: { api: Api; host: Host; kind: LxdKind },
  image: string,
  server: ImageServer,
  how: Watching,
): Promise<string> {
  const { url, protocol, certificate } = server
  const pem = certificate === null ? '' : await pinnedCertificate(host, { ...server, certificate })
  const before = await fingerprintsOf(api)
  const { operation } = await api.background('/1.0/images', {
    source: {
      type: 'image',
      mode: 'pull',
      server: url,
      protocol: protocol === 'engine' ? kind : protocol,
      alias: image,
      certificate: pem,
      image_type: 'container',
    },
  })
  const { code, error, metadata } = await endOf(api, operation, how)
  if (how.signal.aborted) {
    await cancel(api, operation, before)
    how.signal.throwIfAborted()
  }
  const fingerprint = (metadata as { fingerprint?: string } | null)?.fingerprint
  if (code !== succeeded || fingerprint === undefined) throw new ConflictError(`${api.name}: ${error}`)
  how.progress(100, 100, 'steps')
  return fingerprint
}
