import { bus, isBusConnected, listen } from '#shared/bus/bus.ts'
import { samplesSubject } from '#shared/bus/identity/subjects.ts'
import type { SubjectName } from '../history/chunks.ts'
import type { Row } from '../history/ring.ts'

/** Samples of one replica for the others, so that each can answer for all. */
type Packet = { holder: string; rows: { subject: SubjectName; row: Row }[] }

/** A message on the bus holds a megabyte at most. */
const rowsAtOnce = 500

export function shareRows(holder: string, rows: Packet['rows']): void {
  if (!isBusConnected()) return
  for (let at = 0; at < rows.length; at += rowsAtOnce) {
    const packet: Packet = { holder, rows: rows.slice(at, at + rowsAtOnce) }
    bus().nats.publish(samplesSubject, JSON.stringify(packet))
  }
}

/** Receives the samples of other replicas. @returns a function that stops it */
export function hearRows(holder: string, heard: (subject: SubjectName, row: Row) => void): () => void {
  const own = Buffer.from(JSON.stringify({ holder }).slice(0, -1))
  const isOwn = (data: Uint8Array) => own.equals(data.subarray(0, own.length))
  return listen(samplesSubject, (message) => {
    // The bus returns our own samples, a large part of all: they are not parsed.
    if (isOwn(message.data)) return
    const packet = message.json<Packet>()
    for (const { subject, row } of packet.rows) heard(subject, row)
  })
}
