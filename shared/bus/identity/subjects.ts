/**
 * The subjects of Moleculer's packets here: `MOL.<type>.<from>[.<to>.<instance>[.<contract>.<action>]]`. Who sends, who
 * receives and what is called are parts of the subject, so that NATS itself refuses what an identity may not do, and a
 * receiver knows from the subject, which its sender cannot choose, who it was.
 */
export const packetTypes = ['REQ', 'RES', 'DISCOVER', 'INFO', 'HEARTBEAT', 'DISCONNECT'] as const
export type PacketType = (typeof packetTypes)[number]
export const isUsed = (type: string): type is PacketType => (packetTypes as readonly string[]).includes(type)

/** A process's name on the bus: the identity, a dot, and what tells it from its replicas, which has no dot. */
export const nodeIdOf = (identity: string, instance: string) =>
  `${identity}.${instance.replaceAll(/[^A-Za-z0-9_-]/g, '-')}`
export const identityOf = (nodeId: string) => nodeId.slice(0, nodeId.indexOf('.'))

/** Where a packet is sent. @param to a node id; without one it is for all */
export function packetSubject(type: string, from: string, to?: string | null, action?: string): string {
  const begin = `MOL.${type}.${from}`
  if (!to) return begin
  return type === 'REQ' ? `${begin}.${to}.${action}` : `${begin}.${to}`
}

/** What a process hears: packets for all, or for its own node id. */
export function heardSubject(type: string, to?: string): string {
  const begin = `MOL.${type}.*`
  if (!to) return begin
  return type === 'REQ' ? `${begin}.${to}.>` : `${begin}.${to}`
}

/** Who sent a packet to this subject, and what it calls. Undefined when it was never a packet's subject. */
export function partsOf(type: string, subject: string): { from: string; action?: string } | undefined {
  const [prefix, found, from, , , ...action] = subject.split('.')
  if (prefix !== 'MOL' || found !== type || !from) return undefined
  return action.length > 0 ? { from, action: action.join('.') } : { from }
}

/** Tells the processes that an operation, whose id it holds, may have been cancelled. */
export const cancelSubject = 'horcrux.cancel'

/** JetStream's streams: of events, and of what waits to be worked on. */
export const streams = { events: 'horcrux-events', work: 'horcrux-work' }
/** Where whoever keeps the streams is asked to make those that are missing. */
export const streamsSubject = 'horcrux.streams'
/** What is told of a collection before and after each of its changes. */
export const changeSubjects = { changing: 'horcrux.changing', changed: 'horcrux.changed' }
export const inboxPrefix = (identity: string) => `_INBOX.${identity}`
