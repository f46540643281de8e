import { Type } from 'typebox'
import { Id, Time, Version } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'
import { now } from '#shared/events/event.ts'

const Home = Type.Object({
  id: Id,
  vms: Type.Array(Type.String(), { description: 'VMs that drains have moved off this node' }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})

/** VMs that belong on a node, by the id of the node: a restore brings them back. */
const homeRecords = collection('drained-homes', Home, { kind: 'Drain' })

/** Adds VMs to those that belong on a node; again for one that is there: nothing. */
export async function recordHomes(node: string, vms: string[]): Promise<null> {
  const known = await homeRecords.get(node)
  const at = now()
  if (!known) {
    await homeRecords.insert({ id: node, vms, created_at: at, updated_at: at })
    return null
  }
  await homeRecords.change(node, (home) => ({ set: { vms: [...new Set([...home.vms, ...vms])] } }))
  return null
}

export const homesOf = async (node: string): Promise<string[]> => (await homeRecords.get(node))?.vms ?? []

/** Takes VMs out of those that belong on a node: they are back, or gone. */
export async function forgetHomes(node: string, vms: string[]): Promise<null> {
  if (await homeRecords.get(node))
    await homeRecords.change(node, (home) => ({ set: { vms: home.vms.filter((vm) => !vms.includes(vm)) } }))
  return null
}
