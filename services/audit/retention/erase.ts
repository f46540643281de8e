import { inStore } from '#shared/db/connect.ts'
import { chain } from '../models.ts'

/** Values and their salts go together: without the salt a commitment cannot be tried out. */
function without(...fields: string[]) {
  return {
    $set: Object.fromEntries(fields.map((field) => [field, null])),
    $unset: Object.fromEntries(fields.map((field) => [`salts.${field}`, ''])),
  }
}

/**
 * Removes what tells of a user: in their own records the name, the address and the message; in the records of others
 * the path and the message that name them. @returns of how many records
 */
export async function erase(user: string): Promise<number> {
  const segment = RegExp.escape(encodeURIComponent(user))
  const own = { user }
  const named = { path: { $regex: `/(users|members|guests)/${segment}(/|$)` } }
  const records = await inStore(() => chain.countDocuments({ $or: [own, named] } as never))
  await inStore(() => chain.collection.updateMany(named as never, without('path', 'message')))
  await inStore(() => chain.collection.updateMany(own, without('user', 'address', 'message')))
  return records
}
