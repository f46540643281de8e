import { requireRight } from '#shared/access/require-right.ts'
import type { Call } from '#shared/runtime/handler.ts'

const hint = ': a disk there takes it, or VmAllocate by a resource pool that holds the storage pool'

/**
 * Requires the right to take disks from storage pools: by a resource pool that holds the storage pool, or on the storage
 * pool itself.
 * @throws ForbiddenError naming privilege and path
 */
export function requireStorage(call: Pick<Call, 'caller' | 'rights'>, storage: string[]): void {
  for (const id of new Set(storage)) {
    const path = `/api/storage/pools/${encodeURIComponent(id)}`
    // A member of the resource pool is below the grant by which the VM is made.
    if (!call.rights.allows('VmAllocate', path)) requireRight(call, 'DatastoreAllocate', path, hint)
  }
}
