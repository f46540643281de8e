import type { NetworkSpec } from '#shared/contracts/container/networks.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { parseCidr } from '../policies/addresses.ts'
import { bridgeOf } from './plan.ts'

const table = 'inet horcrux_networks'

/** Rules of one network: packets that leave its subnet get an address of the node. Multicast stays as it is. */
function rulesOf({ subnets }: Pick<NetworkSpec, 'subnets'>): string[] {
  return subnets.map(({ subnet }) =>
    parseCidr(subnet)!.family === 4
      ? `ip saddr ${subnet} ip daddr != { ${subnet}, 224.0.0.0/4 } masquerade`
      : `ip6 saddr ${subnet} ip6 daddr != { ${subnet}, ff00::/8 } masquerade`,
  )
}

/**
 * Translates the addresses of a network by a chain of its own, in one transaction; doing it again is fine. The plug-in's own
 * translation has rules for each container, which stay when the namespace of a container is gone before its DEL.
 */
export async function translate(host: Host, network: Pick<NetworkSpec, 'id' | 'subnets'>): Promise<void> {
  const chain = bridgeOf(network.id)
  const lines = [
    `add table ${table}`,
    `add chain ${table} ${chain} { type nat hook postrouting priority srcnat; policy accept; }`,
    `flush chain ${table} ${chain}`,
    ...rulesOf(network).map((rule) => `add rule ${table} ${chain} ${rule}`),
  ]
  await host.runChecked('nft', ['-f', '-'], { input: `${lines.join('\n')}\n` })
}

/** Ends the translation of a network; the table goes with its last chain. A missing one is fine. */
export async function endTranslation(host: Host, id: string): Promise<void> {
  const chain = bridgeOf(id)
  const make = `add table ${table}\nadd chain ${table} ${chain}\n`
  await host.runChecked('nft', ['-f', '-'], {
    input: `${make}flush chain ${table} ${chain}\ndelete chain ${table} ${chain}\n`,
  })
  const { stdout } = await host.run('nft', ['list', 'table', 'inet', 'horcrux_networks'])
  if (!stdout.includes('chain ')) await host.run('nft', ['delete', 'table', 'inet', 'horcrux_networks'])
}
