import { countOf } from '#shared/db/commands.ts'
import { inStore } from '#shared/db/connect.ts'
import { chain } from '../models.ts'

/** Removes values together with their salts: without the salt a commitment cannot be tested by guessing. */
function without(...fields: string[]) {
  return {
    $set: Object.fromEntries(fields.map((field) => [field, null])),
    $unset: Object.fromEntries(fields.map((field) => [`salts.${field}`, ''])),
  }
}

/**
 * Erases personal data of a user: name, address and message in the user's own records; path and message in other
 * records that name the user.
 * @returns the number of records
 */
export async function erase(user: string): Promise<number> {
  const segment = RegExp.escape(encodeURIComponent(user))
  const own = { user }
  const named = { path: { $regex: `/(users|members|guests)/${segment}(/|$)` } }
  const records = await countOf(chain, { $or: [own, named] })
  await inStore(() => chain.collection.updateMany(named, without('path', 'message')))
  await inStore(() => chain.collection.updateMany(own, without('user', 'address', 'message')))
  return records
}
