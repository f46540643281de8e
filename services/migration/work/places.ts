import { setTimeout as delay } from 'node:timers/promises'
import { activeStates, statesOf } from '#shared/operation/entries.ts'
import { places, readSettings } from '../model.ts'

const retryEveryMs = 500

/** Drops the holders that have ended without giving their place back. */
async function alive(holders: string[]): Promise<string[]> {
  const states = await statesOf(holders)
  return holders.filter((id) => activeStates.some((state) => state === states.get(id)))
}

/** Takes a place on a node, if one is free. Repeating it is fine. */
async function take(node: string, operation: string): Promise<boolean> {
  const { concurrent_per_node } = await readSettings()
  const known = await places.get(node)
  if (known?.holders.includes(operation)) return true
  const holders = await alive(known?.holders ?? [])
  if (holders.length >= concurrent_per_node) return false
  const set = { holders: [...holders, operation] }
  if (!known) await places.insert({ id: node, ...set })
  else if (!(await places.updateWhere({ _id: node, version: known.version }, { set }))) return take(node, operation)
  return true
}

/** Waits for a place on each of the nodes, taken in one order so that two migrations never wait for each other. */
export async function waitForPlaces(nodes: string[], operation: string, signal: AbortSignal): Promise<void> {
  for (const node of nodes.toSorted())
    while (!(await take(node, operation))) await delay(retryEveryMs, undefined, { signal })
}

export async function givePlacesBack(nodes: string[], operation: string): Promise<void> {
  for (const node of nodes)
    await places
      .change(node, ({ holders }) => ({ set: { holders: holders.filter((id) => id !== operation) } }))
      .catch(() => undefined)
}
