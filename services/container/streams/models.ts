import { type Static, Type } from 'typebox'
import { nullable, strict } from '#shared/contracts/common.ts'
import { LogsFrom, StreamKind } from '#shared/contracts/container/streams.ts'
import { collection } from '#shared/db/collection.ts'
import { ticketFields } from '#shared/service/tickets.ts'

/** The command is sealed: its words and its environment may be secrets. `replica`: the process that has the stream. */
const StoredTicket = strict({
  ...ticketFields,
  container_id: Type.String(),
  kind: StreamKind,
  sealed: nullable(Type.String()),
  logs: nullable(strict(LogsFrom)),
  replica: nullable(Type.String()),
})
export const streamTickets = collection('container_tickets', StoredTicket, {
  kind: 'Container ticket',
  indexes: [{ fields: { container_id: 1 } }, { fields: { closed_at: 1, opened_at: 1 } }, { fields: { created_at: 1 } }],
})
export type StreamTicket = Static<typeof StoredTicket>
