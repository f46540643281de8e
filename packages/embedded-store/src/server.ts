import { createServer, type Server, type Socket } from 'node:net'
import { type Login, helloAuthentication, newLogin, saslContinue, saslStart } from './wire/authentication.ts'
import { existsSync } from 'node:fs'
import { backupTo } from './storage/backup.ts'
import { type Doc, encode } from './values/bson.ts'
import { type Catalog, openCatalog } from './storage/catalog.ts'
import { checkFields, type Command, parseCommand } from './wire/command.ts'
import { buildInfo, hello } from './commands/handshake.ts'
import { READS } from './commands/reads.ts'
import { WRITES } from './commands/writes.ts'
import { serve } from './wire/connection.ts'
import { createCursors } from './query/cursors.ts'
import { CommandError, errorReply, toCommandError } from './errors.ts'
import type { Reader } from './query/reader.ts'
import { finishRestore, stagedFile } from './storage/restore.ts'
import { deriveCredentials } from './wire/scram.ts'
import { checkFile } from './storage/file-check.ts'
import { dataFile, lockDataDir, openStorage } from './storage/storage.ts'
import { commandName, encodeReply, type Message } from './wire/messages.ts'
import { startWriter, type Writer } from './storage/writer.ts'

export type StoreOptions = {
  dataDir: string
  host?: string
  port?: number
  user: string
  password: string
}

export type EmbeddedStore = {
  host: string
  port: number
  /** A connection string with the password, for a database of that name. */
  url: (database: string) => string
  /** Writes a consistent copy of the store to a new file while it runs. */
  backup: (destination: string) => Promise<void>
  stop: () => Promise<void>
  /** Rejects when the store can no longer write and must be started anew. */
  failed: Promise<never>
}

type Store = {
  options: StoreOptions
  reader: Reader
  writer: Writer
  sockets: Set<Socket>
  startedMs: number
  /** Ends this run of the store. */
  giveUp: (why: Error) => void
}

type Client = { id: number; login: Login }

const ONE = 1
const MAX_CONNECTIONS = 2000
const SWEEP_MS = 60_000

const ping = (command: Command): Doc => {
  checkFields(command, [])
  return { ok: ONE }
}

const handshake = (command: Command, client: Client): Doc => ({
  ...hello(command, client.id),
  ...helloAuthentication(client.login, command),
})

/** Commands of a client that has not authenticated yet. */
const STRANGERS: Record<string, (command: Command, client: Client) => Doc> = {
  hello: handshake,
  isMaster: handshake,
  ismaster: handshake,
  ping,
  buildInfo,
  buildinfo: buildInfo,
  saslStart: (command, { login }) => saslStart(login, command),
  saslContinue: (command, { login }) => saslContinue(login, command),
}

const serverStatus = ({ reader, sockets, startedMs }: Store): Doc => ({
  host: 'localhost',
  version: '7.0.0',
  process: 'horcrux-embedded-store',
  pid: process.pid,
  uptime: (performance.now() - startedMs) / 1000,
  localTime: new Date(),
  connections: { current: sockets.size, available: MAX_CONNECTIONS - sockets.size },
  metrics: { cursor: { open: { total: reader.cursors.open } } },
  mem: { resident: Math.round(process.memoryUsage.rss() / 1024 / 1024), bits: 64 },
  ok: ONE,
})

const backupCommand = async ({ options }: Store, command: Command): Promise<Doc> => {
  checkFields(command, ['path'])
  const path = command.body['path']
  if (command.db !== 'admin') throw new CommandError(13, 'horcruxBackup may only be run against the admin database.')
  if (typeof path !== 'string') throw new CommandError(14, 'horcruxBackup needs a path')
  await backupTo(options.dataDir, path)
  return { ok: ONE }
}

/** Ends this run of the store: the next one begins with the copy that was put beside its file. */
const restoreCommand = ({ options, giveUp }: Store, command: Command): Doc => {
  checkFields(command, [])
  if (command.db !== 'admin') throw new CommandError(13, 'horcruxRestore may only be run against the admin database.')
  if (!existsSync(stagedFile(options.dataDir))) throw new CommandError(2, 'There is no copy to go over to')
  setImmediate(() => giveUp(new Error('It goes over to a copy that was restored')))
  return { ok: ONE }
}

const runCommand = async (store: Store, client: Client, message: Message): Promise<Doc | Uint8Array> => {
  const name = commandName(message)
  const open = Object.hasOwn(STRANGERS, name) ? STRANGERS[name] : undefined
  if (open) return open(parseCommand(message, name), client)
  if (!client.login.isAuthenticated) throw new CommandError(13, `Command ${name} requires authentication`)
  if (message.legacy) throw new CommandError(59, `OP_QUERY is for the handshake only, not for '${name}'`)
  if (Object.hasOwn(WRITES, name)) return store.writer.run(message)
  const run = Object.hasOwn(READS, name) ? READS[name] : undefined
  if (run) return run(store.reader, parseCommand(message, name))
  if (name === 'serverStatus') return serverStatus(store)
  if (name === 'horcruxBackup') return backupCommand(store, parseCommand(message, name))
  if (name === 'horcruxRestore') return restoreCommand(store, parseCommand(message, name))
  throw new CommandError(59, `no such command: '${name}'`)
}

const answerTo = async (store: Store, client: Client, message: Message): Promise<Uint8Array[]> => {
  let answer: Uint8Array
  try {
    const result = await runCommand(store, client, message)
    answer = result instanceof Uint8Array ? result : encode(result, 10334)
  } catch (error) {
    answer = encode(errorReply(toCommandError(error)))
  }
  return message.noReply ? [] : encodeReply(message, answer)
}

const listen = async (server: Server, port: number, host: string): Promise<number> => {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, host, () => resolve())
  await promise
  const address = server.address()
  return typeof address === 'object' && address ? address.port : port
}

const accept = (store: Store): Server => {
  let nextId = 1
  const credentials = deriveCredentials(store.options.user, store.options.password)
  const server = createServer((socket) => {
    const client: Client = { id: nextId++, login: newLogin(credentials) }
    store.sockets.add(socket)
    socket.once('close', () => store.sockets.delete(socket))
    serve(socket, {
      isTrusted: () => client.login.isAuthenticated,
      answer: (message) => answerTo(store, client, message),
    })
  })
  server.maxConnections = MAX_CONNECTIONS
  return server
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

/** Opens the database, after a staged copy was put in its place and what is there was looked at. */
const opened = async (dataDir: string): Promise<{ catalog: Catalog; writer: Writer }> => {
  finishRestore(dataDir)
  checkFile(dataFile(dataDir))
  const storage = openStorage(dataDir)
  try {
    const catalog = openCatalog(storage)
    return { catalog, writer: await startWriter(catalog, dataFile(dataDir)) }
  } catch (error) {
    storage.db.close()
    throw error
  }
}

/** Starts the store in this process; throws when its data folder is in use by another. */
export const startEmbeddedStore = async (options: StoreOptions): Promise<EmbeddedStore> => {
  const { dataDir, host = '127.0.0.1', user, password } = options
  if (!isLoopback(host)) throw new Error(`The embedded store is for one machine: ${host} is not its loopback address`)
  if (user === '' || password === '') throw new Error('The embedded store needs a user and a password')
  const unlock = lockDataDir(dataDir)
  const { catalog, writer } = await opened(dataDir).catch((error: unknown) => {
    unlock()
    throw error
  })
  const reader: Reader = { catalog, cursors: createCursors() }
  const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>()
  const failed = Promise.race([writer.failed, givenUp])
  failed.catch(() => {})
  const store: Store = { options, reader, writer, sockets: new Set(), startedMs: performance.now(), giveUp }
  const server = accept(store)
  const sweeper = setInterval(reader.cursors.sweep, SWEEP_MS).unref()
  const release = async (): Promise<void> => {
    clearInterval(sweeper)
    for (const socket of store.sockets) socket.destroy()
    await writer.close()
    unlock()
  }
  const port = await listen(server, options.port ?? 0, host).catch(async (error: unknown) => {
    await release()
    throw error
  })
  let closing: Promise<void> | undefined
  return {
    host,
    port,
    url: (database) =>
      `mongodb://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host.includes(':') ? `[${host}]` : host}:${port}/${database}?authSource=admin&directConnection=true`,
    backup: (destination) => backupTo(dataDir, destination),
    stop: () => {
      server.close()
      return (closing ??= release())
    },
    failed,
  }
}
