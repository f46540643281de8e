import type { Reached } from '#shared/nodes/nodes.ts'
import type { Images } from '../drivers/parts.ts'

/** Images by the names that an operation changes; null: there was none of the name. */
export type Before = Record<string, string | null>

export async function namedNow(images: Images, reached: Reached, names: readonly string[]): Promise<Before> {
  const found = await Promise.all(names.map(async (name) => [name, await images.find(reached, name)] as const))
  return Object.fromEntries(found)
}

/** Gives names back to the images that had them, and takes them away where there was none. */
export async function restoreNames(images: Images, reached: Reached, before: Before): Promise<void> {
  for (const [name, was] of Object.entries(before)) {
    const is = await images.find(reached, name)
    if (is === was) continue
    if (was === null) await images.untag(reached, name)
    else await images.tag(reached, was, name)
  }
}
