import { X509Certificate } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { config } from '#shared/config/config.ts'
import { log } from '#shared/runtime/log.ts'
import { gauge } from '#shared/runtime/measures.ts'

const years = 10

let end: Date | null = null

/** The end of the certificate that this process serves; null without TLS. */
export const certificateEnd = (): Date | null => end

gauge('horcrux_tls_certificate_end_seconds', 'End of the TLS certificate, since 1970', () =>
  end === null ? null : end.getTime() / 1000,
)

/** Reads or makes the key and the certificate that HORCRUX_TLS asks for. @returns null when TLS is off */
export async function tlsOptions(): Promise<{ key: string; cert: string } | null> {
  const found = await readOptions()
  end = found && new X509Certificate(found.cert).validToDate
  return found
}

async function readOptions(): Promise<{ key: string; cert: string } | null> {
  const { tls, tlsCert, tlsKey, dataDir } = config()
  if (tls === 'off') return null
  if (tls === 'self-signed') return ownCertificate(join(dataDir, 'tls'))
  const [cert, key] = await Promise.all([readFile(tlsCert!, 'utf8'), readFile(tlsKey!, 'utf8')])
  return { cert, key }
}

/**
 * Reads the self-signed certificate in this folder; makes it when there is none or it has expired. Key and certificate
 * are one file, so that they always belong together.
 */
export async function ownCertificate(dir: string): Promise<{ key: string; cert: string }> {
  const file = join(dir, 'self-signed.pem')
  const kept = await readFile(file, 'utf8').catch(() => undefined)
  if (kept && new X509Certificate(kept).validToDate > new Date()) return { key: kept, cert: kept }
  if (kept) await rm(file)
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const made = join(dir, `.${process.pid}.pem`)
  // Loaded when it is needed, once in ten years: the library takes some 10 MB.
  const { selfSigned } = await import('./certificate.ts')
  const { key, cert } = await selfSigned(namesOfThisMachine(), years)
  await writeFile(made, `${key}${cert}`, { mode: 0o600 })
  // link() does not overwrite: of two gateways that start at once, the first one's certificate stays.
  await link(made, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await rm(made)
  const pem = await readFile(file, 'utf8')
  log('gateway').info({ file, fingerprint: new X509Certificate(pem).fingerprint256 }, 'the TLS certificate')
  return { key: pem, cert: pem }
}

function namesOfThisMachine() {
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address))
  const { host } = config()
  const isAny = host === '0.0.0.0' || host === '::' || host === 'localhost'
  return {
    names: ['localhost', hostname()],
    addresses: [...new Set(['127.0.0.1', '::1', ...(isAny ? [] : [host]), ...addresses])].filter(
      (address) => !address.includes('%'),
    ),
  }
}
