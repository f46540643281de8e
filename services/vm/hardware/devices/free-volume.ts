import { call } from '#shared/bus/call.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { NotFoundError } from '#shared/errors.ts'
import type { VmRecord } from '../../model.ts'

/** A name for a volume that neither the VM nor its storage pool has. @param wanted taken if it is free there */
export async function freeVolume(vm: Pick<VmRecord, 'id' | 'disks'>, pool: string, wanted?: string): Promise<string> {
  const names = function* () {
    if (wanted !== undefined) yield wanted
    for (let index = vm.disks.length; ; index++) yield `${vm.id}-disk-${index}`
  }
  for (const volume of names()) {
    if (vm.disks.some((disk) => disk.pool === pool && disk.volume === volume)) continue
    try {
      await call(volumes, 'get', { id: pool, volume })
    } catch (error) {
      if (error instanceof NotFoundError) return volume
      throw error
    }
  }
  throw new Error('the names have no end')
}
