import { Binary } from 'bson'
import { type Doc, isPlainObject } from '../values/bson.ts'
import type { Command } from './command.ts'
import { CommandError } from '../errors.ts'
import { type Conversation, type Credentials, startConversation } from './scram.ts'

/** Login state of one connection. */
export type Login = {
  credentials: Credentials
  isAuthenticated: boolean
  conversation: Conversation | undefined
  proven: boolean
}

const MECHANISM = 'SCRAM-SHA-256'
const CONVERSATION_ID = 1

const failed = (): CommandError => new CommandError(18, 'Authentication failed.')

export const newLogin = (credentials: Credentials): Login => ({
  credentials,
  isAuthenticated: false,
  conversation: undefined,
  proven: false,
})

const payloadOf = (body: Doc): string => {
  const payload = body['payload']
  if (payload instanceof Binary) return Buffer.from(payload.value()).toString('utf8')
  if (typeof payload === 'string') return payload
  throw failed()
}

const step = (text: string, done: boolean): Doc => ({
  conversationId: CONVERSATION_ID,
  done,
  payload: new Binary(Buffer.from(text)),
})

const start = (login: Login, body: Doc, db: unknown): Doc => {
  login.conversation = undefined
  login.proven = false
  if (body['mechanism'] !== MECHANISM)
    throw new CommandError(18, `Authentication mechanism ${String(body['mechanism'])} is not offered: use ${MECHANISM}`)
  // the one user lives in `admin`, as MongoDB's root user does: authSource=admin
  if (db !== 'admin')
    throw new CommandError(18, 'Authentication failed: the user is in the database admin (authSource=admin).')
  const conversation = startConversation(login.credentials, payloadOf(body))
  if (!conversation) throw failed()
  login.conversation = conversation
  return step(conversation.firstAnswer, false)
}

export const saslStart = (login: Login, { body, db }: Command): Doc => ({ ...start(login, body, db), ok: 1 })

export const saslContinue = (login: Login, { body }: Command): Doc => {
  const { conversation } = login
  if (!conversation || Number(body['conversationId']) !== CONVERSATION_ID) throw failed()
  if (login.proven) {
    login.isAuthenticated = true
    login.conversation = undefined
    return { ...step('', true), ok: 1 }
  }
  const answer = conversation.finish(payloadOf(body))
  if (answer === undefined) {
    login.conversation = undefined
    throw failed()
  }
  login.proven = true
  login.isAuthenticated = true
  return { ...step(answer, true), ok: 1 }
}

/** The parts of `hello` that begin the authentication together with the handshake. */
export const helloAuthentication = (login: Login, { body, db }: Command): Doc => {
  const answer: Doc = {}
  if (body['saslSupportedMechs'] !== undefined) answer['saslSupportedMechs'] = [MECHANISM]
  const speculative = body['speculativeAuthenticate']
  if (isPlainObject(speculative) && speculative['saslStart'] !== undefined) {
    try {
      answer['speculativeAuthenticate'] = start(login, speculative, speculative['db'] ?? db)
    } catch {
      // MongoDB leaves the field away: the client then begins with saslStart and is told why it fails
    }
  }
  return answer
}
