import { KeptCloudInit } from '#shared/contracts/vm/cloudinit.ts'
import { collection } from '#shared/db/collection.ts'
import { now } from '#shared/events/event.ts'
import type { VmRecord } from '../model.ts'
import { removeSeed } from './seed.ts'

/** The settings in the seed of each guest. */
export const kept = collection('cloudinits', KeptCloudInit, { kind: 'Cloud-init seed of virtual machine' })
type Kept = Parameters<typeof kept.insert>[0]

const nothing = Object.fromEntries(
  Object.keys(KeptCloudInit.properties)
    .filter((key) => !['id', 'created_at', 'updated_at', 'version'].includes(key))
    .map((key) => [key, undefined]),
)

/** Records the settings of a seed; in the place of earlier ones with the next version, which is the ETag. */
export async function keepSettings(
  id: string,
  settings: Omit<Kept, 'id' | 'created_at' | 'updated_at'>,
): Promise<void> {
  if (await kept.updateWhere({ _id: id }, { set: { ...nothing, ...settings } })) return
  const at = now()
  await kept.insert({ ...settings, id, created_at: at, updated_at: at })
}

/** Removes a guest's seed and its stored settings; a seed that is gone is fine. */
export async function dropSeed(vm: Pick<VmRecord, 'id' | 'node'>): Promise<void> {
  await removeSeed(vm)
  await kept.removeWhere({ _id: vm.id })
}
