/** Signatures of requests: "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)". */
import { createHash, createHmac } from 'node:crypto'

export type Credentials = { access_key: string; secret_key: string; region: string }

export type Unsigned = {
  method: string
  /** `host:port`, as in the `Host` header. */
  host: string
  /** Of the request, encoded already. */
  path: string
  query: Record<string, string>
  headers: Record<string, string>
  /** Hexadecimal SHA-256 of the body. */
  bodySha256: string
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()

/** Encodes as the signature demands: all but letters, digits and -._~ (RFC 3986). */
export const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`)

/** The query in the order that is signed. */
export const queryText = (query: Record<string, string>): string =>
  Object.entries(query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .toSorted()
    .join('&')

/** The headers of a request with its signature. @param at the time of the request */
export function signed(
  { method, host, path, query, headers, bodySha256 }: Unsigned,
  { access_key, secret_key, region }: Credentials,
  at: Date,
): Record<string, string> {
  const time = at.toISOString().replaceAll(/[-:]|\.\d{3}/g, '')
  const day = time.slice(0, 8)
  const all: Record<string, string> = {
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    host,
    'x-amz-content-sha256': bodySha256,
    'x-amz-date': time,
  }
  const names = Object.keys(all).toSorted()
  const canonical = [
    method,
    path,
    queryText(query),
    ...names.map((name) => `${name}:${all[name]!.trim()}`),
    '',
    names.join(';'),
    bodySha256,
  ].join('\n')
  const scope = `${day}/${region}/s3/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n')
  const key = [region, 's3', 'aws4_request'].reduce(hmac, hmac(`AWS4${secret_key}`, day))
  const signature = hmac(key, toSign).toString('hex')
  const authorization = `AWS4-HMAC-SHA256 Credential=${access_key}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`
  return { ...all, authorization }
}
