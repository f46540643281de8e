import { setTimeout as delay } from 'node:timers/promises'
import mongoose from 'mongoose'
import { config, ConfigError } from '#shared/config/config.ts'
import { AppError, UnavailableError } from '#shared/errors.ts'
import { histogram } from '#shared/runtime/measures.ts'
import { log } from '#shared/runtime/log.ts'

/**
 * Connects this process to its store; every model uses this one connection.
 * @throws UnavailableError when it has not answered for some 20 s
 */
export async function connectStore(): Promise<void> {
  const { mongodbUrl } = config()
  if (!mongodbUrl) throw new Error('MONGODB_URL is not set and no running Horcrux was found in HORCRUX_DATA')
  mongoose.set('bufferCommands', false)
  await untilReachable(() =>
    mongoose.connect(mongodbUrl, {
      autoIndex: false,
      autoCreate: false,
      serverSelectionTimeoutMS: 4000,
      connectTimeoutMS: 4000,
      socketTimeoutMS: 20_000,
      maxPoolSize: 20,
    }),
  )
}

const patienceMs = 20_000
const retryEveryMs = 500

/** Waits for a store that is starting; any other error, such as a wrong password, is thrown at once. */
async function untilReachable(connect: () => Promise<unknown>): Promise<void> {
  const deadline = Date.now() + patienceMs
  for (;;) {
    try {
      await connect()
      return
    } catch (error) {
      const { name, message } = error as Error
      // An option that MongoDB does not know; an address as a whole would have a password in it.
      if (name === 'MongoParseError' && !message.includes('://')) throw new ConfigError([`MONGODB_URL: ${message}`])
      // A store that stops while it takes the connection ends it with an error of the network.
      if (!(error instanceof mongoose.Error.MongooseServerSelectionError || isTransient(error as Error))) throw error
      if (Date.now() > deadline)
        throw new UnavailableError(`The store at MONGODB_URL does not answer: ${message}`, { cause: error })
      log('store').warn('the store does not answer yet')
      await delay(retryEveryMs)
    }
  }
}

export const disconnectStore = () => mongoose.disconnect()

const transient =
  /^(Mongo(Network|ServerSelection|PoolCleared|PoolClosed|NotConnected|(Topology|Client|Server)Closed|WaitQueueTimeout|OperationTimeout|StalePrimary)|PoolClearedOnNetworkError)/

/** A server that stops, or is not the primary any more (the codes that MongoDB's drivers call retryable). */
const transientCodes = new Set([6, 7, 89, 91, 134, 189, 262, 9001, 10_107, 11_600, 11_602, 13_435, 13_436])

/** Errors of the socket, which the driver passes on when the store stops during a write. */
const socketErrors = new Set(['EPIPE', 'ECONNRESET', 'ECONNREFUSED', 'ERR_STREAM_DESTROYED'])

/** Unwraps the error of a bulk write, which may be a lost connection. */
const bareError = (error: Error & { errorResponse?: unknown }): Error =>
  error.name === 'MongoBulkWriteError' && error.errorResponse instanceof Error ? error.errorResponse : error

/** True for an error of a store that is away for a while, or of the way to it. */
function isTransient(error: Error): boolean {
  const { name, message } = bareError(error)
  const { code } = error as { code?: number | string }
  const notConnected = name === 'MongooseError' && /initial connection|buffer/i.test(message)
  return transient.test(name) || notConnected || socketErrors.has(String(code)) || transientCodes.has(Number(code))
}

const commands = histogram('horcrux_store_command_duration_seconds', 'Commands to the store, by their outcome')

/** Runs a store command. @throws UnavailableError when the store does not answer */
export async function inStore<T>(command: () => Promise<T>): Promise<T> {
  const begin = performance.now()
  let outcome = 'error'
  try {
    const result = await translated(command)
    outcome = 'ok'
    return result
  } finally {
    commands({ outcome }, (performance.now() - begin) / 1000)
  }
}

async function translated<T>(command: () => Promise<T>): Promise<T> {
  try {
    return await command()
  } catch (error) {
    if (error instanceof AppError) throw error
    if (isTransient(error as Error))
      throw new UnavailableError('The store does not answer', { retryAfterSeconds: 2, cause: error })
    if ((error as { code?: unknown }).code === 14_031)
      throw new UnavailableError("The store's disk is full", { retryAfterSeconds: 60, cause: error })
    throw error
  }
}
