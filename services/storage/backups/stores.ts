import type { Params } from '#shared/contract/contract.ts'
import { backupStores } from '#shared/contracts/storage/backups.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import type { Objects } from './store/objects.ts'
import { storePathOf } from './model.ts'
import { type ProvingStore, proveStore } from './proof/prove-store.ts'
import { readDamage } from './store/catalog.ts'
import { collect, neededChunks, readWholeCatalog } from './store/collect.ts'
import { findGarbage } from './store/garbage.ts'
import { keyRecords } from './keys/model.ts'
import { openStore } from './store/open-store.ts'
import { DamagedPack } from './store/pack.ts'
import { hasKeyFile, hasStore, keyFileKey } from './store/store.ts'

/** The store of a storage pool. @throws NotFoundError while it has none */
async function requireStore(pool: string): Promise<Objects> {
  const objects = await openStore(pool)
  if (!(await hasStore(objects))) throw notFound('Backup store', pool)
  return objects
}

/** @returns words about the key file in an encrypted store that is not the one that Horcrux has written */
async function keyDamage(pool: string, objects: Objects): Promise<string[]> {
  const record = await keyRecords.get(pool)
  if (!record || (await hasKeyFile(objects, Buffer.from(record.key_file, 'base64')))) return []
  return [`${keyFileKey} is missing or has changed: the next backup writes it again`]
}

async function measure(pool: string, objects: Objects) {
  const { catalog, damaged } = await readWholeCatalog(objects)
  const words = [
    ...(await keyDamage(pool, objects)),
    ...catalog.damaged,
    ...[...damaged].map(([id, reason]) => `pack ${id} ${reason}`),
    ...[...(await readDamage(objects))].map(([id, { reason }]) => `pack ${id} ${reason}`),
  ]
  const stored_bytes = [...catalog.stored.values()].reduce((sum, bytes) => sum + bytes, 0)
  const found = { packs: catalog.stored.size, stored_bytes }
  const needed = await neededChunks(objects).catch((error: unknown) => {
    if (!(error instanceof DamagedPack)) throw error
    words.push(error.message)
    return null
  })
  // Without every manifest nothing is known to be unneeded.
  if (!needed) return { ...found, unused_bytes: 0, damaged: words }
  const garbage = findGarbage([...catalog.packs.values()], needed, new Map())
  const unused = garbage.unused.reduce((sum, id) => sum + (catalog.stored.get(id) ?? 0), 0)
  return { ...found, unused_bytes: unused + garbage.dead_bytes, damaged: words }
}

export const backupStoreService = implement(backupStores, {
  get: async ({ id }) => {
    const objects = await requireStore(id)
    const manifests = await objects.list('backups/')
    return { id, backups: manifests.length, ...(await measure(id, objects)) }
  },

  collect: operation({
    accept: async ({ id }: Params<typeof backupStores, 'collect'>, { hold }) => {
      // No backup, restore or verification is at work in the store meanwhile, and none begins.
      await hold(storePathOf(id))
      await requireStore(id)
      return { pool: id }
    },
    run: async (op: Op, { pool }) => {
      const { removed_packs, rewritten_packs, freed_bytes } = await op.step('collecting', async () => {
        const onProgress = (done: number, total: number) => op.progress(done, total, 'steps')
        try {
          return await collect(await openStore(pool), { signal: op.signal, onProgress })
        } catch (error) {
          if (!(error instanceof DamagedPack)) throw error
          throw new ConflictError(`Nothing is removed from the backup store of '${pool}': ${error.message}`, {
            cause: error,
          })
        }
      })
      return { removed_packs, rewritten_packs, freed_bytes }
    },
  }),

  prove: operation({
    accept: async ({ id, days }: Params<typeof backupStores, 'prove'>, { share, reserve }): Promise<ProvingStore> => {
      await share(storePathOf(id))
      // Two at a time would read the same, and one would lose what the other records.
      await reserve(`${storePathOf(id)}/proof`)
      await requireStore(id)
      return { pool: id, days }
    },
    run: proveStore,
  }),
})
