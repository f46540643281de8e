/** A client's state computed from events alone: each VM's status, each operation's state. */
export type Folded = { vms: Record<string, string>; operations: Record<string, string> }

/** Applies events to a state; the last event of a resource counts, except one with a lower version than was told before. */
export function fold({ vms, operations }: Folded, events: { type: string; data: unknown }[]): Folded {
  const machines = new Map(Object.entries(vms))
  const works = new Map(Object.entries(operations))
  for (const { type, data: told } of events) {
    const data = told as Record<string, unknown>
    const id = String(data['vm_id'] ?? data['id'])
    if (type === 'VmCreated') machines.set(id, 'stopped')
    else if (type === 'VmStatusChanged') machines.set(id, String(data['new_status']))
    else if (type === 'VmDeleted') machines.delete(id)
    else if (type === 'OperationUpdated') {
      if (Number(data['version']) >= versionOf(works.get(id)))
        works.set(id, `${String(data['state'])} at ${String(data['version'])}`)
    } else throw new Error(`An event that nobody knows how to fold: ${type}`)
  }
  return { vms: sorted(machines), operations: sorted(works) }
}

const versionOf = (told = ' at 0') => Number(told.slice(told.lastIndexOf(' ')))

const sorted = (map: Map<string, string>) =>
  Object.fromEntries([...map].toSorted(([one], [other]) => (one < other ? -1 : 1)))
