import { join, resolve } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { authorization, keepKeys } from '#shared/bus/identity/keys.ts'
import { UsageError } from '../arguments.ts'

/**
 * `horcrux bus-identities FOLDER`: makes the secret of each service, and the configuration for an external NATS server.
 * Existing secrets are kept.
 */
export async function busIdentities([folder, ...more]: string[]): Promise<number> {
  if (folder === undefined || folder.startsWith('-') || more.length > 0)
    throw new UsageError('the folder is missing: bus-identities FOLDER')
  const host = localHost()
  try {
    const path = resolve(folder)
    // Mode 0444, because a container sees only its own file and reads it as another user. The folder is closed to
    // others.
    const publicKeys = await keepKeys(host, path, 0o444)
    const conf = join(path, 'identities.conf')
    const text = `${JSON.stringify({ authorization: authorization(publicKeys) }, null, 2)}\n`
    await host.writeFile(conf, text, { mode: 0o444 })
    process.stdout.write(
      `Each service's secret: ${path}/NAME.nk, for its NATS_NKEY_FILE. For nats-server: include ${conf}\n`,
    )
    return 0
  } finally {
    await host.close()
  }
}
