import { join } from 'node:path'
import { config } from '#shared/config/config.ts'
import { buildTinyGuest } from '../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { readArguments } from '../arguments.ts'
import { useRunningInstance } from '../running-instance.ts'

/** `horcrux tiny-guest`: builds a guest that boots in seconds, and prints it as the `boot` field of a VM. */
export async function tinyGuest(words: string[]): Promise<number> {
  const { folder } = readArguments(words, { folder: { type: 'string' } })
  if (folder === undefined) useRunningInstance()
  const host = localHost()
  const guest = await buildTinyGuest(host, folder ?? join(config().dataDir, 'guest'))
  await host.close()
  process.stdout.write(`${JSON.stringify(guest)}\n`)
  return 0
}
