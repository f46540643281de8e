import { KeptCloudInit } from '#shared/contracts/vm/cloudinit.ts'
import { collection } from '#shared/db/collection.ts'
import { now } from '#shared/events/event.ts'
import type { VmRecord } from '../model.ts'
import { removeSeed } from './seed.ts'

/** What the seed of each guest says. */
export const kept = collection('cloudinits', KeptCloudInit, { kind: 'Cloud-init seed of virtual machine' })
type Kept = Parameters<typeof kept.insert>[0]

/** Keeps what the seed says, in the place of what an earlier one said. */
export async function keepSettings(
  id: string,
  settings: Omit<Kept, 'id' | 'created_at' | 'updated_at'>,
): Promise<void> {
  const at = now()
  await kept.removeWhere({ _id: id })
  await kept.insert({ ...settings, id, created_at: at, updated_at: at })
}

/** Removes a guest's seed with what is kept of it; one that is gone is fine. */
export async function dropSeed(vm: Pick<VmRecord, 'id' | 'node'>): Promise<void> {
  await removeSeed(vm)
  await kept.removeWhere({ _id: vm.id })
}
