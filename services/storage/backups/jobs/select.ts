import { allParts } from '#shared/bus/all-pages.ts'
import { call } from '#shared/bus/call.ts'
import type { Result } from '#shared/contract/contract.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { containerArchives } from '#shared/contracts/container/container-archives.ts'
import type { Selection, VmSelection } from '#shared/contracts/storage/backup-jobs.ts'
import { inventory, type InventoryVm } from '#shared/contracts/vm/inventory.ts'
import { vms } from '#shared/contracts/vm/vms.ts'

/** `skip`: the reason that it is not backed up. */
export type Target = {
  kind: 'vm' | 'container'
  id: string
  name: string
  node: string
  created_at: string
  skip: string | null
}

/** The fields of a target that tell a virtual machine from a container. */
export const subjectOf = ({ kind, id }: Pick<Target, 'kind' | 'id'>) => ({
  vm_id: kind === 'vm' ? id : null,
  container_id: kind === 'container' ? id : null,
})

type Listed = Result<typeof containerArchives, 'list'>['data'][number]
const allVms = (): Promise<InventoryVm[]> => allParts((part) => call(inventory, 'vms', part, { isQuestion: true }))
const allContainers = (): Promise<Listed[]> =>
  allParts((part) => call(containerArchives, 'list', part, { isQuestion: true }))

/** A virtual machine without a disk of its own is no failure of a job that found it by its tag or resource pool. */
const targetOf = ({ id, name, node, created_at, written_disks }: InventoryVm): Target => ({
  kind: 'vm',
  id,
  name,
  node,
  created_at,
  skip: written_disks === 0 ? 'it has no disk that it writes' : null,
})

const containerOf = ({ labels: _, ...container }: Listed): Target => ({ kind: 'container', ...container, skip: null })

async function membersOf(resource_pool: string) {
  const { members } = await call(resourcePools, 'get', { id: resource_pool }, { isQuestion: true })
  return (wanted: Target['kind']) => new Set(members.flatMap(({ kind, id }) => (kind === wanted ? [id] : [])))
}

/** The virtual machines of a selection as it is now; templates are none. @throws NotFoundError when what it names is gone */
export async function selectVms(selection: VmSelection): Promise<Target[]> {
  if (selection.kind === 'vm') {
    const { id, name, node, created_at } = await call(vms, 'get', { id: selection.vm_id }, { isQuestion: true })
    return [{ kind: 'vm', id, name, node, created_at, skip: null }]
  }
  if (selection.kind === 'tag') return (await allVms()).filter(({ tags }) => tags.includes(selection.tag)).map(targetOf)
  const own = (await membersOf(selection.resource_pool))('vm')
  return (await allVms()).filter(({ id }) => own.has(id)).map(targetOf)
}

/** True for labels that a selection means: `name`, or `name=value`. */
export function hasLabel(labels: Record<string, string>, wanted: string): boolean {
  const at = wanted.indexOf('=')
  return at < 0 ? wanted in labels : labels[wanted.slice(0, at)] === wanted.slice(at + 1)
}

/** As {@link selectVms}, with containers. */
export async function select(selection: Selection): Promise<Target[]> {
  if (selection.kind === 'container') {
    const { container_id: id } = selection
    const { container, created_at } = await call(containerArchives, 'describe', { id }, { isQuestion: true })
    return [{ kind: 'container', id, name: container.name, node: container.node, created_at, skip: null }]
  }
  if (selection.kind === 'label')
    return (await allContainers()).filter(({ labels }) => hasLabel(labels, selection.label)).map(containerOf)
  const found = await selectVms(selection)
  if (selection.kind !== 'resource_pool') return found
  const own = (await membersOf(selection.resource_pool))('container')
  if (own.size === 0) return found
  return [...found, ...(await allContainers()).filter(({ id }) => own.has(id)).map(containerOf)]
}
