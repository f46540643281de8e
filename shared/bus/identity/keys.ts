import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { nkeys } from 'nats'
import type { Host } from '#shared/nodes/host/host.ts'
import { type Allowed, allowedTo } from './allowed.ts'
import { memberNames, wholeName } from './service-permissions.ts'

/** The used part of the library, which has no type for it. */
type KeyPair = { getPublicKey: () => string; getSeed: () => Uint8Array }
const { createUser, fromSeed } = nkeys as { createUser: () => KeyPair; fromSeed: (seed: Uint8Array) => KeyPair }

/** Every identity there is: each service's, and that of a process with all of them. */
export const identityNames: readonly string[] = [wholeName, ...memberNames]

/** The folder of the identities' secrets, within a data folder. */
export const keysFolder = (dataDir: string) => join(dataDir, 'secrets', 'bus')
export const keyFile = (folder: string, name: string) => join(folder, `${name}.nk`)

/**
 * Makes the secret of every identity that has none in the folder yet.
 * @param mode of each file; the folder itself is always closed to others
 * @returns the public key of each identity
 */
export async function keepKeys(host: Host, folder: string, mode = 0o600): Promise<Record<string, string>> {
  await host.mkdir(folder, { mode: 0o700 })
  const publicKeys: Record<string, string> = {}
  for (const name of identityNames) {
    const file = keyFile(folder, name)
    const there = (await host.stat(file)) ? (await host.readFile(file)).toString().trim() : undefined
    const pair = there === undefined ? createUser() : pairOf(there, file)
    if (there === undefined) await host.writeFile(file, `${Buffer.from(pair.getSeed()).toString()}\n`, { mode })
    publicKeys[name] = pair.getPublicKey()
  }
  return publicKeys
}

/** @throws Error for what is no secret of a NATS user; it does not show it */
function pairOf(seed: string, file: string): KeyPair {
  try {
    return fromSeed(Buffer.from(seed))
  } catch {
    throw new Error(`${file} is damaged: it holds no secret of a NATS user. Remove it, and a new one is made`)
  }
}

/** The secret that `npm start` has made for an identity; undefined when there is none, or it is not for us to read. */
export function keptSeed(dataDir: string, name: string): string | undefined {
  const file = keyFile(keysFolder(dataDir), name)
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined
}

type Users = { users: { nkey: string; permissions: Allowed | undefined }[] }

/** The part of nats-server's configuration that says who may do what. There is no secret in it. */
export const authorization = (publicKeys: Record<string, string>): Users => ({
  users: Object.entries(publicKeys).map(([name, nkey]) => ({ nkey, permissions: allowedTo(name) })),
})
