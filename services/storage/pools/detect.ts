import type { Params, Result } from '#shared/contract/contract.ts'
import type { PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import type { pools } from '#shared/contracts/storage/pools.ts'
import { invalid, UnavailableError } from '#shared/errors.ts'
import { withSafeFiles } from '#shared/nodes/host/files-by-programs.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { drivers } from '../drivers/drivers.ts'
import type { Detected } from '../drivers/driver.ts'
import { placeOf } from '../volumes/locate.ts'

type Kind = Detected & { type: PoolType }

/** Asks each kind, those of devices first. A node without the tools of a kind has no disk of it. */
async function kindOf(host: Host, path: string): Promise<Kind | null> {
  // The keys of the map are the kinds.
  for (const type of Object.keys(drivers) as PoolType[]) {
    const found = await drivers[type].detect?.(host, path).catch((error: unknown) => {
      if (error instanceof UnavailableError && error.details['program'] !== undefined) return null
      throw error
    })
    if (found) return { type, ...found }
  }
  return null
}

/** @throws ValidationError for a path that is no disk of any kind: it is never taken for a raw image */
export async function detect({ node, path }: Params<typeof pools, 'detect'>): Promise<Result<typeof pools, 'detect'>> {
  const reached = await reach(node)
  const host = withSafeFiles(reached.host, `detection ${node}`)
  const kind = await kindOf(host, path)
  if (!kind) throw invalid('path', 'is no disk of a kind that is known', 'unknown_disk')
  const source = { type: path.startsWith('/dev/') ? ('block' as const) : ('file' as const), path }
  const place = await placeOf(host, node, source)
  return { ...kind, pool: place.pool, volume: place.name }
}
