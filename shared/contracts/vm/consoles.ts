import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { CredentialRef } from '#shared/contracts/access/auth.ts'
import { Done, Id, ListQuery, nullable, oneOf, Page, record, strict, Time } from '#shared/contracts/common.ts'

export const ConsoleType = oneOf('vnc', 'spice', 'serial')
export type ConsoleType = Static<typeof ConsoleType>

const TicketId = Type.String({
  pattern: '^[0-9a-f-]{36}$',
  errorMessage: 'must be the part of a ticket before the dot',
})
const RecordingId = Type.String({ pattern: '^[0-9a-f-]{36}$', errorMessage: 'must be the id of a recording' })

/** A stream socket on the node. */
const Socket = Type.Union([strict({ path: Type.String() }), strict({ host: Type.String(), port: Type.Integer() })])

/** The address of a console on its node: a socket, or a log that grows and a socket for input. */
const Endpoint = Type.Union([
  strict({ kind: oneOf('display'), socket: Socket, password: nullable(Type.String()) }),
  strict({ kind: oneOf('serial'), log: Type.String(), input: nullable(Socket) }),
])
export type Endpoint = Static<typeof Endpoint>

const ConsoleTicket = strict({
  vm_id: Type.String(),
  console_type: ConsoleType,
  ticket: Type.String({ description: 'For one use; the part before the dot is its id, the part after is secret' }),
  websocket_path: Type.String({ description: 'With the ticket; subprotocol `binary`' }),
  expires_at: Time,
  host: Type.String({ description: 'Address of the node that the VM runs on' }),
  port: nullable(Type.Integer({ description: 'Where the display listens there; null for a Unix socket' })),
  password: nullable(Type.String({ description: 'Password of the display, where its definition has one' })),
})

const TicketStatus = strict({
  ticket_id: Type.String(),
  vm_id: Type.String(),
  console_type: ConsoleType,
  status: oneOf('unused', 'open', 'closed', 'expired'),
  created_at: Time,
  expires_at: Time,
  opened_at: nullable(Time),
  closed_at: nullable(Time),
  reason: nullable(Type.String({ description: 'Why it was closed' })),
  recording_id: nullable(Type.String()),
})
export type TicketStatus = Static<typeof TicketStatus>

export const Recording = record('id vm_id user started_at ended_at size_bytes')({
  id: Type.String(),
  vm_id: Type.String(),
  user: Type.String({ description: 'User of the console' }),
  started_at: Time,
  ended_at: nullable(Time),
  size_bytes: Type.Integer(),
  parts: Type.Integer(),
  complete: Type.Boolean({ description: 'False: a part of the output is missing' }),
  reason: Type.Optional(Type.String({ description: 'Why it is not complete' })),
})
export type Recording = Static<typeof Recording>

const Opened = strict({
  ticket_id: Type.String(),
  vm_id: Type.String(),
  vm_name: Type.String(),
  console_type: ConsoleType,
  node: Type.String(),
  user: Type.String(),
  credential: CredentialRef,
  endpoint: Endpoint,
  recording_id: nullable(Type.String()),
})
export type Opened = Static<typeof Opened>

const OfVm = strict({ vm_id: Id, recording_id: RecordingId })
const onVm = 'VmConsole on /api/vms/{vm_id}' as const

export const consoles = contract('consoles', {
  open: {
    does: 'Get a ticket for one console of a running virtual machine, for one use within 5 minutes',
    rest: 'POST /console/{vm_id}/{console_type}',
    can: onVm,
    audit: 'secret_accessed',
    status: 201,
    params: strict({
      vm_id: Id,
      console_type: ConsoleType,
      record: Type.Boolean({ default: false, description: 'Record the output of a serial console, as asciicast v2' }),
    }),
    result: ConsoleTicket,
    secret: ['ticket', 'websocket_path', 'password'],
  },
  ticket: {
    does: 'Get the state of a ticket; only for its user',
    rest: 'GET /console/ticket/{ticket_id}',
    can: 'signed-in',
    params: strict({ ticket_id: TicketId }),
    result: TicketStatus,
  },
  write: {
    does: 'Type text on the serial console of a running virtual machine',
    rest: 'POST /vms/{id}/serial',
    can: 'VmConsole on /api/vms/{id}',
    audit: 'console_opened',
    status: 204,
    params: strict({ id: Id, text: Type.String({ minLength: 1, maxLength: 65_536 }) }),
    result: Done,
    secret: ['text'],
  },
  recordings: {
    does: 'List the recordings of the serial console of a virtual machine',
    rest: 'GET /console/{vm_id}/recordings',
    can: onVm,
    params: strict({ vm_id: Id, ...ListQuery('user').properties }),
    result: Page(Recording),
  },
  recording: {
    does: 'Get a recording of a serial console; its asciicast v2 is at …/cast',
    rest: 'GET /console/{vm_id}/recordings/{recording_id}',
    can: onVm,
    params: OfVm,
    result: Recording,
  },
  deleteRecording: {
    does: 'Delete a recording of a serial console that has ended',
    rest: 'DELETE /console/{vm_id}/recordings/{recording_id}',
    can: 'VmConfig on /api/vms/{vm_id}',
    audit: 'vm_config_changed',
    status: 204,
    params: OfVm,
    result: Done,
  },
  part: {
    does: 'Read a part of a recording',
    can: onVm,
    params: strict({ ...OfVm.properties, part: Type.Integer({ minimum: 0 }) }),
    result: strict({ text: Type.String() }),
  },
  check: {
    does: 'Look at a ticket without using it up',
    can: 'service',
    callers: ['gateway'],
    params: strict({ vm_id: Type.String(), ticket: Type.String({ maxLength: 256 }) }),
    result: strict({
      console_type: ConsoleType,
      password: nullable(Type.String()),
      vm_name: Type.String(),
      user: Type.String(),
      credential: CredentialRef,
    }),
    secret: ['ticket', 'password'],
  },
  redeem: {
    does: 'Use a ticket up: get its user and the address of its console',
    can: 'service',
    callers: ['gateway'],
    params: strict({
      vm_id: nullable(Type.String({ description: 'Null where only the ticket says which' })),
      ticket: Type.String({ maxLength: 256 }),
      address: Type.String(),
      gateway: Type.String({ description: 'The process that holds the console open' }),
      user: nullable(Type.String({ description: 'User who shows it, if known' })),
    }),
    result: Opened,
    secret: ['ticket', 'endpoint.password'],
  },
  keep: {
    does: 'Tell which of these open consoles have to be closed, and why',
    can: 'service',
    callers: ['gateway'],
    params: strict({ ticket_ids: Type.Array(Type.String(), { maxItems: 10_000 }) }),
    result: Type.Array(strict({ ticket_id: Type.String(), reason: Type.String() })),
  },
  close: {
    does: 'Put on record that a console was closed',
    can: 'service',
    callers: ['gateway'],
    params: strict({ ticket_id: Type.String(), reason: Type.String({ maxLength: 1000 }) }),
    result: Done,
  },
  append: {
    does: 'Add a part to a recording; false when it is full',
    can: 'service',
    callers: ['gateway'],
    params: strict({
      recording_id: Type.String(),
      part: Type.Integer({ minimum: 0 }),
      text: Type.String({ maxLength: 524_288 }),
      lossy: Type.Boolean({ description: 'A part of the output before its end was left out' }),
    }),
    result: Type.Boolean(),
  },
})
