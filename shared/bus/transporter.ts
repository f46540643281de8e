import { Transporters } from 'moleculer'
import type { NatsConnection } from 'nats'
import { watchConnection } from '#shared/bus/bus.ts'
import { maySend } from '#shared/bus/identity/service-permissions.ts'
import { genuine, type Payload } from '#shared/bus/identity/packets.ts'
import { heardSubject, identityOf, isUsed, packetSubject } from '#shared/bus/identity/subjects.ts'
import { log } from '#shared/runtime/log.ts'

/** The internals of Moleculer's transporter that are used here; its types leave them out. */
type Inside = {
  client: NatsConnection
  connected: boolean
  nodeID: string
  transit: { discoverer: Discoverer; isReady: boolean; pendingRequests: Map<string, { nodeID: string }> }
  deserialize: (type: string, frame: Buffer) => { payload: Payload }
  serialize: (packet: Packet) => Buffer
  send: (subject: string, frame: Buffer, meta: { packet: Packet }) => Promise<void>
  messageHandler: (type: string, packet: { payload: Payload }) => unknown
  broker: {
    registry: { nodes: { toArray: () => { local: boolean; available: boolean; lastHeartbeatTime: number }[] } }
  }
}
type Discoverer = {
  opts: { disableHeartbeatChecks?: boolean }
  sendLocalNodeInfo: () => Promise<unknown>
  discoverAllNodes: () => Promise<unknown>
}
type Packet = { type: string; target?: string | null; payload: Payload }

/**
 * Moleculer's NATS transporter, for a bus that comes and goes. While the bus is away, requests are refused: in the client's
 * buffer they would be delivered long after their caller was told that they had failed. Missed heartbeats count for nothing
 * then. When the bus is back every process announces itself at once.
 *
 * The subject of each packet names its sender (subjects.ts); packets with another sender in their content are dropped.
 */
export class BusTransporter extends Transporters.NATS {
  /** This object, with the members that the library's types leave out. */
  private get inside(): Inside {
    return this as unknown as Inside
  }

  override async connect(): Promise<void> {
    await (super.connect as () => Promise<void>)()
    void watchConnection(this.inside.client, (change) => (change === 'lost' ? this.left() : this.returned()))
  }

  /** Leaves out Moleculer's own events and pings, which no identity may use. */
  override makeSubscriptions(topics: { cmd: string; nodeID?: string }[]): Promise<void> {
    return super.makeSubscriptions(topics.filter(({ cmd }) => isUsed(cmd)) as never)
  }

  override subscribe(type: string, nodeId?: string): Promise<void> {
    this.inside.client.subscribe(heardSubject(type, nodeId), {
      callback: (error, message) => {
        if (!error) this.hear(type, message.subject, Buffer.from(message.data))
      },
    })
    return Promise.resolve()
  }

  override publish(packet: Packet): Promise<void> {
    const { inside } = this
    const { type, target, payload } = packet
    const subject = packetSubject(type, identityOf(inside.nodeID), target, payload.action)
    return inside.send(subject, inside.serialize(packet), { packet })
  }

  private hear(type: string, subject: string, frame: Buffer): void {
    const { inside } = this
    const askedOf = (id: string) => inside.transit.pendingRequests.get(id)?.nodeID
    try {
      const packet = inside.deserialize(type, frame)
      if (genuine(type, subject, packet.payload, askedOf)) inside.messageHandler(type, packet)
      else
        log('bus').warn(
          { subject, sender: packet.payload.sender },
          'dropped a packet whose sender is not the one of its subject',
        )
    } catch (error) {
      log('bus').warn({ subject, err: error }, 'dropped a message that is no packet')
    }
  }

  override prepublish(packet: Packet): Promise<void> {
    if (packet.type === 'REQ') {
      const name = identityOf(this.inside.nodeID)
      if (!maySend(name, packet.payload.action ?? ''))
        return Promise.reject(
          new Error(`shared/bus/identity/service-permissions.ts does not have '${name}' call ${packet.payload.action}`),
        )
    }
    // Answers are kept in the client's buffer until it is connected again: their caller may still wait.
    if (packet.type === 'RES') return this.publish(packet)
    return super.prepublish(packet as never)
  }

  private left(): void {
    const { inside } = this
    inside.connected = false
    inside.transit.discoverer.opts.disableHeartbeatChecks = true
  }

  private returned(): void {
    const { inside } = this
    const { transit, broker } = inside
    inside.connected = true
    for (const node of broker.registry.nodes.toArray())
      if (!node.local && node.available) node.lastHeartbeatTime = Math.round(process.uptime())
    transit.discoverer.opts.disableHeartbeatChecks = false
    if (!transit.isReady) return
    void transit.discoverer.sendLocalNodeInfo()
    void transit.discoverer.discoverAllNodes()
  }
}
