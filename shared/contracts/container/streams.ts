import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { CredentialRef } from '#shared/contracts/access/auth.ts'
import { Done, Id, localNode, nullable, oneOf, strict, Time } from '#shared/contracts/common.ts'
import { ArchiveKind } from '#shared/contracts/container/images.ts'
import {
  Command,
  Environment,
  ExecResult,
  Image,
  LogTime,
  newRuntime,
  User,
} from '#shared/contracts/container/parts.ts'

export const StreamKind = oneOf('exec', 'attach', 'logs')
export type StreamKind = Static<typeof StreamKind>

export const Terminal = strict({
  columns: Type.Integer({ minimum: 1, maximum: 1000 }),
  rows: Type.Integer({ minimum: 1, maximum: 1000 }),
})

const Ticket = strict({
  container_id: Type.String(),
  ticket: Type.String({ description: 'For one use; the part before the dot is its id, the part after is secret' }),
  websocket_path: Type.String({ description: 'With the ticket; subprotocol `binary`' }),
  expires_at: Time,
})
const secret = ['ticket', 'websocket_path'] as const

/** The place in a log from which a client follows it. */
export const LogsFrom = {
  tail: Type.Integer({ minimum: 1, maximum: 10_000, default: 100, description: 'Lines to begin with' }),
  since: Type.Optional(LogTime),
  cursor: Type.Optional(Type.String({ maxLength: 64, description: 'next_cursor of an answer before' })),
}

const Opened = strict({
  ticket_id: Type.String(),
  container_id: Type.String(),
  kind: StreamKind,
  user: Type.String(),
  credential: CredentialRef,
  replica: Type.String({ description: 'The process that has the stream' }),
  logs: nullable(strict(LogsFrom)),
})
export type OpenedStream = Static<typeof Opened>

/** The end of a stream that has no more output. */
export const StreamEnd = strict({ exit_code: nullable(Type.Integer()), reason: ExecResult.properties.reason })
export type StreamEnd = Static<typeof StreamEnd>

/** An absolute path in a container. */
const FilePath = Type.String({
  pattern: '^/[^\\0]{0,4094}$',
  description: 'Absolute path in the container',
  errorMessage: 'must be an absolute path',
})

/** Largest archive of files, in or out. */
export const mostFileBytes = 64 * 2 ** 30

/** Largest part of a stream in one call: the bus carries 1 MiB, and Base64 adds a third. */
export const streamPartBytes = 256 * 1024

const toGateway = { can: 'service', callers: ['gateway'] } as const
/** Beside the gateway, the service that makes backups. */
const toReaders = { can: 'service', callers: ['gateway', 'storage'] } as const
const StreamId = { stream_id: Type.String({ maxLength: 64 }) }

/** Commands, consoles and logs of containers over WebSockets. */
export const containerStreams = contract('container-streams', {
  exec: {
    does: 'Get a ticket for a WebSocket that runs a command in a running container, for one use within 5 minutes',
    rest: 'POST /containers/{id}/exec/socket',
    can: 'ContainerExec on /api/containers/{id}',
    audit: 'secret_accessed',
    status: 201,
    params: strict({
      id: Id,
      command: Command,
      env: Type.Optional(Environment),
      user: Type.Optional(User),
      terminal: Type.Optional(Terminal),
      input: Type.Boolean({ default: true, description: 'The command reads what is sent' }),
    }),
    result: Ticket,
    secret,
  },
  attach: {
    does: 'Get a ticket for a WebSocket that is attached to the first process or the console of a running container',
    rest: 'POST /containers/{id}/attach/socket',
    can: 'ContainerExec on /api/containers/{id}',
    audit: 'secret_accessed',
    status: 201,
    params: strict({ id: Id, input: Type.Boolean({ default: true }) }),
    result: Ticket,
    secret,
  },
  logs: {
    does: 'Get a ticket for a WebSocket that follows the log of a container from a cursor on',
    rest: 'POST /containers/{id}/logs/socket',
    can: 'ContainerAudit on /api/containers/{id}',
    audit: 'secret_accessed',
    status: 201,
    params: strict({ id: Id, ...LogsFrom }),
    result: Ticket,
    secret,
  },
  openFiles: {
    does: 'Begin to read or to write files of a running container, as a tar archive',
    can: 'ContainerExec on /api/containers/{id}',
    params: strict({
      id: Id,
      path: FilePath,
      write: Type.Boolean({ description: 'Unpack an archive in this folder' }),
    }),
    result: strict({ stream_id: Type.String(), replica: Type.String() }),
  },
  openExport: {
    does: 'Begin to read a whole container as a tar archive: its root file system, or a backup in the form of its engine',
    can: 'ContainerExec on /api/containers/{id}',
    params: strict({ id: Id }),
    result: strict({ stream_id: Type.String(), replica: Type.String() }),
  },
  openImageExport: {
    does: 'Begin to read an image as a tar archive in the form of its engine',
    can: 'ContainerAllocate on /api/images/{id}',
    params: strict({ id: Id }),
    result: strict({ stream_id: Type.String(), replica: Type.String() }),
  },
  openImageUpload: {
    does: 'Begin to make an image of a tar archive that is sent',
    can: 'ContainerAllocate on /api/images',
    params: strict({
      node: Type.String({ ...Id, default: localNode }),
      runtime: newRuntime,
      kind: ArchiveKind,
      name: Type.Optional(Image),
      bytes: Type.Integer({ minimum: 1, maximum: mostFileBytes, description: 'Length of the archive' }),
    }),
    result: strict({ stream_id: Type.String(), replica: Type.String() }),
  },
  redeem: {
    does: 'Use a ticket up: begin its stream',
    ...toGateway,
    params: strict({
      container_id: Type.String(),
      ticket: Type.String({ maxLength: 256 }),
      address: Type.String(),
      gateway: Type.String({ description: 'The process that holds the WebSocket' }),
      user: nullable(Type.String({ description: 'User who shows it, if known' })),
    }),
    result: Opened,
    secret: ['ticket'],
  },
  read: {
    does: 'Wait for output of a stream, and take it; of the replica that has it',
    ...toReaders,
    params: strict({ ...StreamId, wait: Type.Integer({ minimum: 0, maximum: 3 }) }),
    result: strict({
      parts: Type.Array(strict({ stream: Type.Union([Type.Literal(1), Type.Literal(2)]), data: Type.String() }), {
        description: 'Base64; 1 is output, 2 errors',
      }),
      end: nullable(StreamEnd),
    }),
  },
  write: {
    does: 'Give input to a stream; false while it does not take more',
    ...toGateway,
    params: strict({
      ...StreamId,
      data: Type.String({ maxLength: streamPartBytes * 1.4, description: 'Base64' }),
      end: Type.Boolean({ description: 'There is no more' }),
    }),
    result: Type.Boolean(),
  },
  control: {
    does: 'Resize the terminal of a stream, or send a signal to its command',
    ...toGateway,
    params: strict({
      ...StreamId,
      resize: Type.Optional(Terminal),
      signal: Type.Optional(Type.Enum(['HUP', 'INT', 'QUIT', 'KILL', 'USR1', 'USR2', 'TERM', 'CONT', 'STOP', 'WINCH'])),
    }),
    result: Done,
  },
  keep: {
    does: 'Tell which of these open streams have to be closed, and why',
    ...toGateway,
    params: strict({ ticket_ids: Type.Array(Type.String(), { maxItems: 10_000 }) }),
    result: Type.Array(strict({ ticket_id: Type.String(), reason: Type.String() })),
  },
  close: {
    does: 'End a stream, and put its end on record',
    ...toReaders,
    params: strict({ ticket_id: Type.String(), reason: Type.String({ maxLength: 1000 }) }),
    result: Done,
  },
})
