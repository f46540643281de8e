import { Transporters } from 'moleculer'
import { type NatsConnection, Events } from 'nats'

/** What of Moleculer's inside this needs; it is in none of its types. */
type Inside = {
  client: NatsConnection
  connected: boolean
  transit: { discoverer: Discoverer; isReady: boolean }
  broker: {
    registry: { nodes: { toArray: () => { local: boolean; available: boolean; lastHeartbeatTime: number }[] } }
  }
}
type Discoverer = {
  opts: { disableHeartbeatChecks?: boolean }
  sendLocalNodeInfo: () => Promise<unknown>
  discoverAllNodes: () => Promise<unknown>
}
type Packet = { type: string }

/**
 * Moleculer's NATS, for a bus that comes and goes. While it is away, requests are refused instead of being kept in the
 * client's buffer, where they would be delivered long after their caller was told that they had failed; and nobody is
 * taken for dead because the bus is. When it is back everybody says at once who they are.
 */
export class BusTransporter extends Transporters.NATS {
  override async connect(): Promise<void> {
    await (super.connect as () => Promise<void>)()
    void this.watch()
  }

  override prepublish(packet: Packet): Promise<void> {
    // An answer may still find its caller waiting: the client keeps it until it is connected again.
    if (packet.type === 'RES') return this.publish(packet as never)
    return super.prepublish(packet as never)
  }

  private async watch(): Promise<void> {
    const { client } = this as unknown as Inside
    for await (const { type } of client.status()) {
      if (type === Events.Disconnect) this.left()
      if (type === Events.Reconnect) this.returned()
    }
  }

  private left(): void {
    const inside = this as unknown as Inside
    inside.connected = false
    inside.transit.discoverer.opts.disableHeartbeatChecks = true
  }

  private returned(): void {
    const inside = this as unknown as Inside
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
