import type { Objects } from '../store/objects.ts'

/** Removes the manifest of a backup, whose key has a time that may be lost with a process. @param of id of its VM or container */
export async function removeManifests(objects: Objects, of: string, backup: string): Promise<void> {
  for (const { key } of await objects.list(`backups/${of}/`))
    if (key.endsWith(`-${backup}.json`)) await objects.remove(key)
}
