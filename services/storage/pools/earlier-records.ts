import type { PoolConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { convertDocuments } from '#shared/db/convert-documents.ts'
import { driverOf } from '../drivers/drivers.ts'

/** Storage pools of versions that stored the configuration, `node` and `path`, beside the common fields. */
export const migratePools = convertDocuments({
  where: { config: { $exists: false } },
  convert: ({ type, node, path }) => {
    // A version of Horcrux wrote these by its contract.
    const config = { node, path } as PoolConfig
    const driver = driverOf({ type: type as PoolType })
    const [nodes, place] = [driver.nodesOf(config), driver.placeOf(config)]
    return { config, nodes, place, node: undefined, path: undefined }
  },
  drop: 'path',
})

/** Volumes of versions that stored the path, which the driver answers. */
export const migrateVolumes = convertDocuments({
  where: { path: { $exists: true } },
  convert: () => ({ path: undefined, node: undefined }),
})
