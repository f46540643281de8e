import { grants } from '../models.ts'

/** Filter for grants on a resource and on anything below it: `/api/vms/7`, `/api/vms/7/**`, but not `/api/vms/70`. */
export const grantsAt = (path: string) => ({ $or: [{ path }, { path: { $gte: `${path}/`, $lt: `${path}0` } }] })

/** Removes the grants on a deleted resource, so that a later resource with the same id does not inherit them. */
export const removeGrantsOn = (path: string) => grants.removeWhere(grantsAt(path))
