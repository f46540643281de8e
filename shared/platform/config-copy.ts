import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'nats'
import mongoose from 'mongoose'
import { type Config, type Secrets, secretsFile } from '#shared/config/config.ts'
import { alreadyThere, completeCopy, type Extras, readCopy, stripCopy } from './store-copy.ts'
import { startEmbeddedStore } from '@horcrux/embedded-store'
import { dataFile, embeddedGitVersion, finishRestore, lockDataDir, stagedFile } from '@horcrux/embedded-store/files'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { connectionOf } from '#shared/bus/identity/connection.ts'
import { wholeName } from '#shared/bus/identity/service-permissions.ts'
import { streams } from '#shared/bus/identity/subjects.ts'
import { makeDataFolder, readJson } from './data-folder.ts'

/** Secrets that are needed to use the store of an installation. */
const kept = ['jwt_secret', 'secret_key'] as const
const storeDirOf = ({ dataDir }: Config) => join(dataDir, 'store')

async function withStore<T>(url: string, work: (client: mongoose.mongo.MongoClient) => Promise<T>): Promise<T> {
  const client = new mongoose.mongo.MongoClient(url, { serverSelectionTimeoutMS: 4000, retryReads: false })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

function commandStore(url: string, command: Record<string, unknown>) {
  return withStore(url, (client) => client.db('admin').command(command))
}

/**
 * Refuses a MongoDB server: it has its own backup tools, which know its cluster and users.
 * @throws ConflictError, UnavailableError
 */
async function demandEmbedded(url: string, dataDir: string): Promise<void> {
  const found = await commandStore(url, { buildInfo: 1 }).catch((error: unknown) => {
    throw new UnavailableError(
      `The store of the Horcrux on ${dataDir} does not answer: start Horcrux again, or see its log`,
      { cause: error },
    )
  })
  if (found['gitVersion'] !== embeddedGitVersion)
    throw new ConflictError(
      'The store is a MongoDB: copy it with mongodump and put it back with mongorestore. Keep HORCRUX_SECRET_KEY and HORCRUX_JWT_SECRET with the copy: without the first one the secrets in it cannot be read',
    )
}

/**
 * Copies the store and its secrets to a new file of mode 0600, while Horcrux runs.
 * @throws ConflictError if the file exists; UnavailableError if Horcrux does not run
 */
export async function writeConfigCopy(config: Config, file: string): Promise<void> {
  const { mongodbUrl, jwtSecret = '', secretKey = '', dataDir } = config
  if (existsSync(file)) throw alreadyThere(file)
  if (!existsSync(dirname(file))) throw new NotFoundError(`There is no folder ${dirname(file)}`)
  if (!mongodbUrl)
    throw new UnavailableError(`Horcrux does not run on ${dataDir}: start it, or set HORCRUX_DATA to its folder`)
  await demandEmbedded(mongodbUrl, dataDir)
  const copy = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString('hex')}`)
  try {
    await commandStore(mongodbUrl, { horcruxBackup: 1, path: copy })
    await completeCopy(
      copy,
      { created_at: new Date().toISOString(), jwt_secret: jwtSecret, secret_key: secretKey },
      file,
    )
  } finally {
    await rm(copy, { force: true })
  }
}

export type Restored = {
  /** Time of the copy. */
  created_at: string
  /** Folder of the previous store; null if there was none. */
  kept: string | null
  /** Number of operations that were active at the time of the copy; they are not continued. */
  operations: number
  /** The running processes still use other secrets, so Horcrux has to be restarted. */
  needsRestart: boolean
}

/**
 * Restores a copy: into the running store, which switches within a second, or into one that does not run. Nothing is
 * changed before the copy is verified; the previous store is kept beside it.
 */
export async function restoreConfigCopy(
  host: Host,
  config: Config,
  file: string,
  fixed: Partial<Secrets>,
): Promise<Restored> {
  const extras = readCopy(file)
  for (const name of kept)
    if (fixed[name] !== undefined && fixed[name] !== extras[name])
      throw new ConflictError(
        `The copy was made with another ${name} than the one set in the environment: remove HORCRUX_${name.toUpperCase()} to use the one of the copy`,
      )
  const { mongodbUrl, dataDir } = config
  if (mongodbUrl) await demandEmbedded(mongodbUrl, dataDir)
  await makeDataFolder(host, dataDir)
  const operations = await stage(storeDirOf(config), file)
  const hasOtherSecrets = await adoptSecrets(host, config, extras, fixed)
  const previous = mongodbUrl ? await switchOver(config, mongodbUrl) : switchAtRest(config)
  return {
    created_at: extras['created_at'] ?? '',
    kept: previous,
    operations,
    needsRestart: hasOtherSecrets && mongodbUrl !== undefined,
  }
}

/** Stages the copy: opens it once with a temporary store, and puts it where the next start of the store finds it. */
async function stage(storeDir: string, file: string): Promise<number> {
  const dir = await mkdtemp(join(storeDir, 'restoring-'))
  try {
    await copyFile(file, dataFile(dir))
    stripCopy(dataFile(dir))
    const operations = await endOperations(dir)
    await rename(dataFile(dir), stagedFile(storeDir))
    return operations
  } finally {
    await rm(dir, { recursive: true })
  }
}

/**
 * Ends operations that were active at the time of the copy: they have finished or failed since, and continuing them
 * would repeat their effects.
 */
async function endOperations(dir: string): Promise<number> {
  const store = await startEmbeddedStore({ dataDir: dir, user: 'restore', password: randomBytes(16).toString('hex') })
  try {
    return await withStore(store.url('horcrux'), async (client) => {
      const message = 'The operation was active when the restored copy was made. Check how far it came.'
      const ended = {
        state: 'needs_attention',
        lease: null,
        cancellable: false,
        eta: null,
        ended_at: new Date().toISOString(),
      }
      const error = { error: 'CONFLICT', message, details: {} }
      const active = { state: { $in: ['queued', 'running', 'cancelling'] } }
      const change = { $set: { ...ended, error }, $inc: { version: 1, epoch: 1 } }
      return (await client.db().collection('operations').updateMany(active, change)).modifiedCount
    })
  } finally {
    await store.stop()
  }
}

/** Installs the secrets of the copy. @returns true if they differ from the previous ones, which are kept beside them */
async function adoptSecrets(
  host: Host,
  { dataDir }: Config,
  extras: Extras,
  fixed: Partial<Secrets>,
): Promise<boolean> {
  const file = secretsFile(dataDir)
  const known = await readJson<Partial<Secrets>>(host, file)
  const wanted = kept.filter((name) => fixed[name] === undefined && extras[name] && known[name] !== extras[name])
  if (wanted.length === 0) return false
  if (Object.keys(known).length > 0) {
    const aside = `${file}.${new Date().toISOString().replaceAll(/[:.]/g, '-')}`
    await host.writeFile(aside, await host.readFile(file), { mode: 0o600 })
  }
  const secrets = { ...known, ...Object.fromEntries(wanted.map((name) => [name, extras[name]])) }
  await host.writeFile(file, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 })
  return true
}

function switchAtRest(config: Config): string | null {
  const unlock = lockDataDir(storeDirOf(config))
  try {
    return finishRestore(storeDirOf(config))
  } finally {
    unlock()
  }
}

const backWithinMs = 30_000

/** Switches the running store to the staged copy, and makes all event subscribers resynchronize. */
async function switchOver(config: Config, mongodbUrl: string): Promise<string | null> {
  await commandStore(mongodbUrl, { horcruxRestore: 1 })
  const deadline = Date.now() + backWithinMs
  const isBack = async () =>
    !existsSync(stagedFile(storeDirOf(config))) && (await commandStore(mongodbUrl, { ping: 1 }), true)
  while (!(await isBack().catch(() => false))) {
    if (Date.now() > deadline)
      throw new UnavailableError(
        'The store does not come back after it was told to go over to the copy; see the log of Horcrux',
      )
    await delay(100)
  }
  if (config.natsUrl) await forgetEvents()
  const files = await readdir(storeDirOf(config))
  const last = files
    .filter((name) => /^horcrux-store-.*Z\.sqlite$/.test(name))
    .toSorted()
    .at(-1)
  return last ? join(storeDirOf(config), last) : null
}

async function forgetEvents(): Promise<void> {
  const nats = await connect(connectionOf(wholeName))
  try {
    const manager = await nats.jetstreamManager()
    const names = await manager.streams.names().next()
    if (names.includes(streams.events)) await manager.streams.delete(streams.events)
  } finally {
    await nats.close()
  }
}
