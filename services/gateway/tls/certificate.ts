import 'reflect-metadata' // x509 reads its decorators through it
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { KeyObject, webcrypto } from 'node:crypto'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const hourMs = 3_600_000

/** Makes a P-256 key and a self-signed certificate (RFC 5280) for a server of these names. @returns both as PEM */
export async function selfSigned(
  { names, addresses }: { names: string[]; addresses: string[] },
  years: number,
): Promise<{ key: string; cert: string }> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    keys,
    name: 'CN=Horcrux',
    // A client whose clock is a little behind accepts it too.
    notBefore: new Date(Date.now() - hourMs),
    notAfter: new Date(Date.now() + years * 365 * 24 * hourMs),
    signingAlgorithm: algorithm,
    extensions: [
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension([
        ...names.map((value) => ({ type: 'dns' as const, value })),
        ...addresses.map((value) => ({ type: 'ip' as const, value })),
      ]),
    ],
  })
  return {
    key: KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `${certificate.toString('pem')}\n`,
  }
}
