import { call } from '#shared/bus/call.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { requireVersion } from '#shared/db/if-match.ts'
import { NotFoundError, UnavailableError } from '#shared/errors.ts'
import type { Accepting } from '#shared/operation/kinds.ts'
import type { VolumeRecord } from '../models.ts'

/** The id of the VM that an owner is; null for another kind of owner. */
export const vmOf = (owner: string): string | null => /^\/api\/vms\/([^/]+)$/.exec(owner)?.[1] ?? null

/** Checks that an owner does not exist. One whose service does not answer counts as there. */
async function isGone(owner: string): Promise<boolean> {
  const id = vmOf(owner)
  if (id === null) return false
  try {
    await call(vms, 'get', { id })
    return false
  } catch (error) {
    if (error instanceof UnavailableError) return false
    if (error instanceof NotFoundError) return true
    throw error
  }
}

/**
 * The owner of a volume, if it does not exist: the undoing of an operation was lost, and nothing else could ever delete the
 * volume. Its path is locked, so that no owner of this name is made meanwhile.
 * @returns null for a volume that is free, or whose owner is there
 */
export async function goneOwnerOf(
  { id, used_by, version }: VolumeRecord,
  reserve: Accepting['reserve'],
): Promise<string | null> {
  if (used_by === null || !(await isGone(used_by))) return null
  await reserve(used_by)
  // It may have been in the making until now.
  if (!(await isGone(used_by))) return null
  requireVersion(`Volume '${id}'`, version)
  return used_by
}
