import type { Op } from '#shared/operation/kinds.ts'
import { nodeRecords } from '../nodes/model.ts'

/** Sets the maintenance of a node as a step; the undo sets it to what it was. @param before as the operation found it */
export async function setMaintenance(op: Op, id: string, wanted: boolean, before: boolean): Promise<void> {
  if (wanted === before) return
  const set = async (maintenance: boolean) => {
    await nodeRecords.updateWhere({ _id: id, maintenance: !maintenance }, { set: { maintenance } })
    return null
  }
  await op.step(wanted ? 'beginning maintenance' : 'ending maintenance', () => set(wanted), { undo: () => set(before) })
}
