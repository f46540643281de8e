import type { ServiceBroker } from 'moleculer'
import { call } from '#shared/bus/call.ts'
import { consoles, type Opened } from '#shared/contracts/vm/consoles.ts'
import type { Identities } from '../admission/identities.ts'
import { createSessions, type Session, type Sessions } from '../sessions/sessions.ts'

type Shown = {
  ticket: string
  /** null where only the ticket says which. */
  vmId: string | null
  address: string
  /** User who shows it, if known. */
  user: string | null
}
export type ConsoleSession = Session<Opened>
export type ConsoleSessions = Sessions<Opened, Shown>

export const consoleRight = (vmId: string) => ({ privilege: 'VmConsole', path: `/api/vms/${vmId}` }) as const

export const createConsoleSessions = (broker: ServiceBroker, identities: Identities): ConsoleSessions =>
  createSessions(broker, identities, {
    what: 'a console',
    redeem: ({ ticket, vmId, address, user }: Shown) =>
      call(consoles, 'redeem', { vm_id: vmId, ticket, address, gateway: broker.nodeID, user }),
    keep: (ticket_ids) => call(consoles, 'keep', { ticket_ids }),
    close: (ticket_id, reason) => call(consoles, 'close', { ticket_id, reason }),
    rightOf: ({ vm_id }) => consoleRight(vm_id),
  })
