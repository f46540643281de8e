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

/** Which secrets of an installation it takes to use its store. */
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

/** A MongoDB has tools of its own, that know its clusters and its users. @throws ConflictError, UnavailableError */
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
 * Copies the store, and what it takes to use it, to a new file that only we may read, while Horcrux runs.
 * @throws ConflictError when there is such a file; UnavailableError when Horcrux does not run
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
  /** When the copy was made. */
  created_at: string
  /** Where the store is kept that was in use before; null when there was none. */
  kept: string | null
  /** Operations that were under way when the copy was made; they are not gone on with. */
  operations: number
  /** The running processes still have other secrets: Horcrux is to be started again. */
  needsRestart: boolean
}

/**
 * Puts a copy in the place of the store: of the running one, which goes over to it within a second, or of one that does
 * not run. Nothing is touched before the copy has proven whole; what was there is kept beside it.
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
        `The copy was made with another ${name} than the one that the environment sets: take HORCRUX_${name.toUpperCase()} away, and the copy's own is used`,
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

/** Prepares the copy, opened once by a store of its own, and puts it where the next start of the store finds it. */
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

/** What was under way then is long over, or was cut off with its machine: to go on with it now would do it twice. */
async function endOperations(dir: string): Promise<number> {
  const store = await startEmbeddedStore({ dataDir: dir, user: 'restore', password: randomBytes(16).toString('hex') })
  try {
    return await withStore(store.url('horcrux'), async (client) => {
      const message = 'It was under way when the configuration was copied that was restored. Look at how far it came.'
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

/** Makes the copy's secrets this installation's. @returns whether they were others; these are kept beside them */
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

/** Has the running store go over to the staged copy, and tells all who follow the events that they know nothing any more. */
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
