import type { Params, Result } from '#shared/contract/contract.ts'
import type { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { requireOwned } from '../volumes/records.ts'
import { groupsOf, inEach, takenOf } from './records.ts'

type Contract = typeof volumeSnapshots

export async function foreseeClone({
  disks,
  node,
  owner,
  snapshot,
}: Params<Contract, 'foreseeClone'>): Promise<Result<Contract, 'foreseeClone'>> {
  await Promise.all(disks.map(({ id, volume }) => requireOwned(id, volume, owner)))
  const data = await inEach(await groupsOf(disks, node), ({ opened, driver, records }) => {
    const linked = driver.clone !== undefined && opened.driver.capabilitiesOf(opened.config).linked_clones
    return Promise.all(
      records.map(async (volume) => {
        const { size_bytes } = await takenOf(volume, snapshot)
        return { id: volume.id, size_bytes, linked }
      }),
    )
  })
  return { data }
}
