import type { Caller } from '#shared/access/access.ts'
import { seal } from '#shared/config/secrets.ts'
import { containerStreams } from '#shared/contracts/container/streams.ts'
import { ForbiddenError } from '#shared/errors.ts'
import { implement } from '#shared/service/implement.ts'
import { driverOf } from '../drivers/drivers.ts'
import { requireOwnMark, requireRunning, requireUser } from '../exec/exec.ts'
import { openExport, openImageExport, openImageUpload } from '../files/archives.ts'
import { openFiles } from '../files/open.ts'
import { requireLog } from '../logs/logs.ts'
import { containerRecords } from '../model.ts'
import { type Asked, sealedFor } from './begin.ts'
import { streamTickets } from './models.ts'
import { controlStream, readStream, writeStream } from './running.ts'
import { close, issue, redeem } from './tickets.ts'

/** A ticket is bound to a user, so that the rights can be checked again. @throws ForbiddenError */
function userOf(caller: Caller) {
  if (caller.kind === 'user') return { user: caller.user, credential: caller.credential }
  throw new ForbiddenError('A stream is opened by a user')
}

const sealed = (asked: Asked) => seal(JSON.stringify(asked), sealedFor)

export const containerStreamActions = implement(containerStreams, {
  exec: async ({ id, command, env = {}, user = null, terminal = null, input }, { caller }) => {
    const who = userOf(caller)
    const container = await requireRunning(id, 'run a command in')
    requireUser(driverOf(container), user ?? undefined)
    requireOwnMark(env)
    const asked = sealed({ command, env, user, terminal, hasInput: input })
    return issue({ container_id: id, kind: 'exec', sealed: asked, logs: null }, who)
  },
  attach: async ({ id, input }, { caller }) => {
    const who = userOf(caller)
    await requireRunning(id, 'attach to')
    const asked = sealed({ command: [], env: {}, user: null, terminal: null, hasInput: input })
    return issue({ container_id: id, kind: 'attach', sealed: asked, logs: null }, who)
  },
  logs: async ({ id, ...logs }, { caller }) => {
    const who = userOf(caller)
    requireLog(await containerRecords.require(id), logs)
    return issue({ container_id: id, kind: 'logs', sealed: null, logs }, who)
  },
  openFiles,
  openExport,
  openImageExport,
  openImageUpload,
  redeem,
  read: readStream,
  write: writeStream,
  control: controlStream,
  keep: async ({ ticket_ids }) => {
    const closed = await streamTickets.all({ _id: { $in: ticket_ids }, closed_at: { $ne: null } })
    return closed.map(({ id, reason }) => ({ ticket_id: id, reason: reason ?? 'It was closed' }))
  },
  close: async ({ ticket_id, reason }) => {
    await close(ticket_id, reason)
    return null
  },
})
