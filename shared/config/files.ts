import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'

const reasons: Record<string, string> = {
  ENOENT: 'does not exist',
  EACCES: 'cannot be read: it belongs to another user, or to root',
  EISDIR: 'is a folder',
}

/** A mistake for the list, by the error of reading a file. */
export const cannotBeRead = (name: string, file: string, error: unknown) => {
  const { code = '', message } = error as NodeJS.ErrnoException
  return `${name}: '${file}' ${reasons[code] ?? `cannot be read: ${message}`}`
}

/** Reads the file of a setting; a failure is added to the mistakes. */
export function textOf(name: string, file: string, mistakes: string[]): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    mistakes.push(cannotBeRead(name, file, error))
    return undefined
  }
}

type Tls = { tls: string; tlsCert: string | undefined; tlsKey: string | undefined }

/** Checks the files of `HORCRUX_TLS=files` before anything listens with them. @returns the mistakes */
export function mistakesOfTls({ tls, tlsCert, tlsKey }: Tls): string[] {
  if (tls !== 'files') return []
  const mistakes: string[] = []
  const read = <T>(name: string, file: string | undefined, parse: (text: string) => T, what: string): T | undefined => {
    if (!file) return void mistakes.push(`${name}: needed because HORCRUX_TLS is 'files'`)
    const text = textOf(name, file, mistakes)
    if (text === undefined) return undefined
    try {
      return parse(text)
    } catch {
      return void mistakes.push(`${name}: '${file}' is no ${what} in PEM`)
    }
  }
  const cert = read('HORCRUX_TLS_CERT', tlsCert, (text) => new X509Certificate(text), 'certificate')
  const key = read('HORCRUX_TLS_KEY', tlsKey, (text) => createPrivateKey(text), 'private key without a passphrase')
  if (cert && key && !cert.checkPrivateKey(key))
    mistakes.push(`HORCRUX_TLS_KEY: '${tlsKey}' is not the key of the certificate '${tlsCert}'`)
  return mistakes
}
