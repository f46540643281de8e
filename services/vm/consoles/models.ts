import { Type } from 'typebox'
import { ConsoleType, Recording } from '#shared/contracts/vm/consoles.ts'
import { strict, nullable } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'
import { ticketFields } from '#shared/service/tickets.ts'

const StoredTicket = strict({
  ...ticketFields,
  vm_id: Type.String(),
  console_type: ConsoleType,
  record: Type.Boolean(),
  recording_id: nullable(Type.String()),
})
export const tickets = collection('console_tickets', StoredTicket, {
  kind: 'Console ticket',
  indexes: [{ fields: { vm_id: 1 } }, { fields: { closed_at: 1, opened_at: 1 } }, { fields: { created_at: 1 } }],
})
export type StoredTicket = Awaited<ReturnType<typeof tickets.require>>

export const recordings = collection('console_recordings', Recording, {
  kind: 'Recording',
  indexes: [{ fields: { vm_id: 1 } }, { fields: { ended_at: 1 } }],
})

const Part = strict({ id: Type.String(), recording: Type.String(), part: Type.Integer(), text: Type.String() })
export const recordingParts = collection('console_recording_parts', Part, {
  kind: 'Part of a recording',
  indexes: [{ fields: { recording: 1, part: 1 }, unique: true }],
})

/** The first reason that it is not complete stays. */
export const markIncomplete = (id: string, reason: string) =>
  recordings.updateWhere({ _id: id, complete: true }, { set: { complete: false, reason } })

/** Removes recordings that fit the filter, the last thing of each being its record. */
export async function removeRecordings(filter: Record<string, unknown>): Promise<void> {
  for (const { id } of await recordings.all(filter)) {
    await recordingParts.removeWhere({ recording: id })
    await recordings.removeWhere({ _id: id })
  }
}

/** Removes all that is kept of the consoles of a VM that is deleted; one that is open still has its end on record. */
export async function forgetConsoles(vmId: string): Promise<void> {
  await removeRecordings({ vm_id: vmId })
  await tickets.removeWhere({ vm_id: vmId, $or: [{ opened_at: null }, { closed_at: { $ne: null } }] })
}
