import { requireOwned } from '../../volumes/records.ts'
import { openPool } from '../../pools/open-pool.ts'
import { snapshotsIn, takenOf } from '../../snapshots/records.ts'
import type { Original } from '../../drivers/driver.ts'
import type { Host } from '#shared/nodes/host/host.ts'

export type SnapshotOfDisk = { pool: string; volume: string; owner: string; node: string; snapshot: string }

/** The content of a disk at a snapshot, as an image to read from on a node. */
export async function imageOfSnapshot({
  pool,
  volume,
  owner,
  node,
  snapshot,
}: SnapshotOfDisk): Promise<{ host: Host; original: Original }> {
  const record = await requireOwned(pool, volume, owner)
  const opened = await openPool(pool, node)
  const { taken } = await takenOf(record, snapshot)
  const original = await snapshotsIn(opened).original(opened.host, opened.config, record, taken)
  return { host: opened.host, original }
}
