import type { Fixed } from '../policies/gather.ts'
import { attachmentRecords } from './models.ts'

/** The addresses that attachments keep, by the path of their container: also while it does not run. */
export async function fixedAddresses(): Promise<Fixed> {
  const found = new Map<string, string[]>()
  for (const { container, addresses } of await attachmentRecords.all()) {
    const path = `/api/containers/${container}`
    found.set(path, [...(found.get(path) ?? []), ...addresses])
  }
  return found
}
