import { NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { parseAddress } from '../policies/addresses.ts'

/** An address that the plug-in host-local has given away: a file with the address as its name. */
export type Lease = { address: string; container: string; ifname: string; path: string }

/** The leases of a network in the data folder of host-local. */
export async function readLeases(host: Host, dataDir: string, network: string): Promise<Lease[]> {
  const folder = `${dataDir}/${network}`
  const found: Lease[] = []
  for (const { name, kind } of await list(host, folder)) {
    // host-local writes IPv6 addresses with colons; its other files are a lock and the last address of each range.
    if (kind !== 'file' || !parseAddress(name)) continue
    const path = `${folder}/${name}`
    const text = await host.readFile(path).then(String, orGone)
    if (text === null) continue
    const [container = '', ifname = ''] = text.split(/\r?\n/)
    found.push({ address: name, container, ifname, path })
  }
  return found
}

/** A folder that is not there has no leases. */
async function list(host: Host, folder: string) {
  try {
    return await host.list(folder)
  } catch (error) {
    return orGone(error) ?? []
  }
}

function orGone(error: unknown): null {
  if (error instanceof NotFoundError) return null
  throw error
}

const keyOf = ({ container, ifname }: { container: string; ifname: string }) => `${container}/${ifname}`

/** Leases that no attachment holds. */
export function deadLeases(
  leases: readonly Lease[],
  attachments: readonly { container: string; ifname: string }[],
): Lease[] {
  const held = new Set(attachments.map(keyOf))
  return leases.filter((lease) => !held.has(keyOf(lease)))
}

/** Frees the addresses of leases that no attachment holds: the plug-ins of Debian have no GC of their own. */
export async function freeDeadLeases(
  host: Host,
  { dataDir, network }: { dataDir: string; network: string },
  attachments: readonly { container: string; ifname: string }[],
): Promise<Lease[]> {
  const dead = deadLeases(await readLeases(host, dataDir, network), attachments)
  for (const { path } of dead) await host.remove(path)
  return dead
}
