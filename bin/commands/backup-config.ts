import { resolve } from 'node:path'
import { config } from '#shared/config/config.ts'
import { BadRequestError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { runningInstances } from '#shared/platform/running-instances.ts'
import { restoreConfigCopy, writeConfigCopy } from '#shared/platform/config-copy.ts'
import { UsageError } from '../arguments.ts'
import { useRunningInstance } from '../running-instance.ts'

/** `horcrux backup-config write FILE` and `… restore FILE`: copies all data of Horcrux except the disks of guests. */
export async function backupConfig([verb, file, ...more]: string[]): Promise<number> {
  if ((verb !== 'write' && verb !== 'restore') || file === undefined || file.startsWith('-') || more.length > 0)
    throw new UsageError('the command is missing: backup-config write FILE, or backup-config restore FILE')
  // Called first, because it also reads `.env`, which may name the store.
  config()
  refuseMongoDb()
  if (verb === 'write') useRunningInstance()
  else demandDataFolder()
  return verb === 'write' ? write(resolve(file)) : restore(resolve(file))
}

/** Refuses to replace the data of a folder while another Horcrux runs: it may be meant. @throws UsageError */
function demandDataFolder(): void {
  const { dataDir, runtimeDir } = config()
  const others = runningInstances(runtimeDir).filter(({ data_dir }) => data_dir !== dataDir)
  if (process.env['HORCRUX_DATA']?.trim() || others.length === 0) return
  throw new UsageError(
    `name the folder to restore, because a Horcrux runs on another one than ${dataDir}: HORCRUX_DATA=${others[0]!.data_dir}`,
  )
}

/** Refuses a MongoDB server: it has its own backup tools, which know its cluster and users. */
function refuseMongoDb(): void {
  if (!process.env['MONGODB_URL'] && !process.env['MONGODB_URL_FILE']) return
  throw new BadRequestError(
    'MONGODB_URL is set, so the store is a MongoDB: copy it with mongodump and put it back with mongorestore. Keep HORCRUX_SECRET_KEY and HORCRUX_JWT_SECRET with the copy: without the first one the secrets in it cannot be read',
  )
}

const say = (line: string) => void process.stdout.write(`${line}\n`)

async function write(file: string): Promise<number> {
  await writeConfigCopy(config(), file)
  say(
    `Written: ${file}. It contains all data except the disks of guests, also the secrets: keep it as safe as a password.`,
  )
  return 0
}

async function restore(file: string): Promise<number> {
  const host = localHost()
  const env = process.env
  const isFixed = (name: string) => Boolean(env[name] || env[`${name}_FILE`])
  const { jwtSecret, secretKey } = config()
  const fixed = {
    ...(isFixed('HORCRUX_JWT_SECRET') && jwtSecret !== undefined && { jwt_secret: jwtSecret }),
    ...(isFixed('HORCRUX_SECRET_KEY') && secretKey !== undefined && { secret_key: secretKey }),
  }
  try {
    const { created_at, kept, operations, needsRestart } = await restoreConfigCopy(host, config(), file, fixed)
    say(`The configuration of ${created_at} is restored.`)
    if (kept) say(`The previous store is kept: ${kept}`)
    if (operations > 0)
      say(`${operations} operation(s) were active at the time of the copy; they are marked as needing attention.`)
    if (needsRestart)
      say('The copy came from another installation, and its secrets were installed here: restart Horcrux now.')
    return 0
  } finally {
    await host.close()
  }
}
