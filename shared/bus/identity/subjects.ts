/**
 * Subjects of Moleculer's packets: `MOL.<type>.<from>[.<to>.<instance>[.<contract>.<action>]]`. Sender, receiver and
 * action are parts of the subject. NATS can therefore refuse them by its access rules, and the receiver reads the
 * sender from the subject, which the sender cannot forge.
 */
export const packetTypes = ['REQ', 'RES', 'DISCOVER', 'INFO', 'HEARTBEAT', 'DISCONNECT'] as const
export type PacketType = (typeof packetTypes)[number]
export const isUsed = (type: string): type is PacketType => (packetTypes as readonly string[]).includes(type)

/** A process's name on the bus: the identity, a dot, and what tells it from its replicas, which has no dot. */
export const nodeIdOf = (identity: string, instance: string) =>
  `${identity}.${instance.replaceAll(/[^A-Za-z0-9_-]/g, '-')}`
export const identityOf = (nodeId: string) => nodeId.slice(0, nodeId.indexOf('.'))

/** The subject of a packet. @param to a node id; omitted for a packet to all */
export function packetSubject(type: string, from: string, to?: string | null, action?: string): string {
  const begin = `MOL.${type}.${from}`
  if (!to) return begin
  return type === 'REQ' ? `${begin}.${to}.${action}` : `${begin}.${to}`
}

/** The subjects that a process subscribes to: packets for all, or for its own node id. */
export function heardSubject(type: string, to?: string): string {
  const begin = `MOL.${type}.*`
  if (!to) return begin
  return type === 'REQ' ? `${begin}.${to}.>` : `${begin}.${to}`
}

/** The sender of a packet and the action, read from its subject. Undefined if the subject is none of a packet. */
export function partsOf(type: string, subject: string): { from: string; action?: string } | undefined {
  const [prefix, found, from, , , ...action] = subject.split('.')
  if (prefix !== 'MOL' || found !== type || !from) return undefined
  return action.length > 0 ? { from, action: action.join('.') } : { from }
}

/** Tells the processes that an operation, whose id it holds, may have been cancelled. */
export const cancelSubject = 'horcrux.cancel'

/** Hints about one operation, whose id is the last token: that its journal changed, and its progress between two writes. */
export const operationSubjects = {
  changed: (id: string) => `horcrux.operation.${id}`,
  progress: (id: string) => `horcrux.progress.${id}`,
}

/** Samples of one replica of the service that measures, for the others. */
export const samplesSubject = 'horcrux.metrics.samples'

/** JetStream's streams: of events, and of what waits to be worked on. */
export const streams = { events: 'horcrux-events', work: 'horcrux-work' }
/** Subject of requests to make missing streams. */
export const streamsSubject = 'horcrux.streams'
/** Subjects of the notices before and after each change of a collection. */
export const changeSubjects = { changing: 'horcrux.changing', changed: 'horcrux.changed' }
export const inboxPrefix = (identity: string) => `_INBOX.${identity}`
