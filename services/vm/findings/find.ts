import { call } from '#shared/bus/call.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { Finding } from '#shared/contracts/vm/findings.ts'
import { AppError, ConflictError } from '#shared/errors.ts'
import { type Reached, reachAll } from '#shared/nodes/nodes.ts'
import { statesOf } from '#shared/operation/entries.ts'
import { requireFree } from '#shared/operation/locks.ts'
import { dirname } from 'node:path'
import { seedPathOf } from '../cloudinit/seed.ts'
import { drivers, hypervisors } from '../drivers/drivers.ts'
import { markedFilesIn } from '../drivers/marked-files.ts'
import { apiPathOf, type VmRecord, vmRecords } from '../model.ts'
import { findingOf, type Left } from './decide.ts'

/** The place of a thing, for its removal. */
export type Target =
  | { kind: 'guest'; guest: Pick<VmRecord, 'id' | 'name' | 'node' | 'handle' | 'hypervisor'> }
  | { kind: 'volume'; pool: string; volume: string; owner: string }
  | { kind: 'file'; node: string; path: string }
  | { kind: 'image'; pool: string; name: string }
type Candidate = { left: Left; target: Target; vm: string | null }
export type Found = { finding: Finding; target: Target; vm: string | null }
type Unreached = { name: string; reason: string }

const vmPath = apiPathOf('')

/** The guests and files of a node that name a VM. */
async function onNode(reached: Reached, known: Map<string, Set<string>>): Promise<Candidate[]> {
  const { node, host } = reached
  const found: Candidate[] = []
  const seeds = await markedFilesIn(host, dirname(seedPathOf(reached, 'any')), '.iso')
  const files = [...seeds]
  for (const hypervisor of hypervisors) {
    const { leftovers, engineOf } = drivers[hypervisor]
    if (!leftovers || (await engineOf(reached).health()).status === 'absent') continue
    files.push(...(await leftovers.files(reached)))
    const handles = known.get(`${hypervisor} ${node.id}`) ?? new Set()
    for (const { handle, name, vm, operation, isOff } of await leftovers.guests(reached, handles))
      found.push({
        vm,
        left: { kind: 'guest', node: node.id, name, owner: apiPathOf(vm), operation, isRunning: !isOff },
        target: { kind: 'guest', guest: { id: vm, name, node: node.id, handle, hypervisor } },
      })
  }
  for (const { path, vm, operation } of files)
    found.push({
      vm,
      left: {
        kind: 'file',
        node: node.id,
        name: path,
        owner: apiPathOf(vm),
        operation,
        isUnfinished: operation !== null,
      },
      target: { kind: 'file', node: node.id, path },
    })
  return found
}

/** The volumes of VMs. */
async function volumesOfVms(): Promise<Candidate[]> {
  const found: Candidate[] = []
  for (let after: string | null = ''; after !== null;) {
    const { data, next }: { data: Owned[]; next: string | null } = await call(
      volumesInternal,
      'owned',
      { after },
      { isQuestion: true },
    )
    for (const { id, pool, name, owner, operation } of data)
      if (owner.startsWith(vmPath))
        found.push({
          vm: owner.slice(vmPath.length),
          left: { kind: 'volume', node: null, name: id, owner, operation },
          target: { kind: 'volume', pool, volume: name, owner },
        })
    after = next
  }
  return found
}
type Owned = { id: string; pool: string; name: string; owner: string; operation: string | null }

/** True while no VM of this id exists or is being made. The lock first: a VM is recorded before its lock is released. */
export async function isGone(vm: string): Promise<boolean> {
  try {
    await requireFree(apiPathOf(vm))
  } catch (error) {
    if (error instanceof ConflictError) return false
    throw error
  }
  return (await vmRecords.get(vm)) === null
}

/** Finds what has lost its VM, on every node and in every storage pool that answers. */
export async function find(): Promise<{ found: Found[]; unreached: Unreached[] }> {
  const unreached: Unreached[] = []
  const [all, owned, images] = await Promise.all([
    vmRecords.all({}),
    volumesOfVms(),
    call(volumesInternal, 'unfinished', {}, { isQuestion: true }),
  ])
  unreached.push(...images.unreached)
  const ids = new Set(all.map(({ id }) => id))
  const known = Map.groupBy(all, ({ hypervisor, node }) => `${hypervisor} ${node}`)
  const handles = new Map([...known].map(([key, vms]) => [key, new Set(vms.map(({ handle }) => handle))]))
  const candidates: Candidate[] = [...owned]
  const read = async (reached: Reached) => {
    try {
      candidates.push(...(await onNode(reached, handles)))
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      unreached.push({ name: reached.node.id, reason: error.message })
    }
  }
  await Promise.all((await reachAll()).map(read))
  const lost = candidates.filter(({ vm }) => vm !== null && !ids.has(vm))
  const gone = new Set<string>()
  for (const vm of new Set(lost.map((each) => each.vm!))) if (await isGone(vm)) gone.add(vm)
  const left = [
    // A file in the making is a leftover also beside a VM that exists.
    ...candidates.filter(({ vm, left: { isUnfinished } }) => gone.has(vm ?? '') || isUnfinished),
    ...images.data.map(({ pool, name, operation }): Candidate => ({
      vm: null,
      left: { kind: 'file', node: null, name: `${pool}/${name}`, owner: null, operation, isUnfinished: true },
      target: { kind: 'image', pool, name },
    })),
  ]
  const states = await statesOf([...new Set(left.flatMap(({ left: { operation } }) => operation ?? []))])
  const found = left.flatMap(({ left: each, target, vm }) => {
    const owner = each.owner !== null && !gone.has(vm ?? '') ? null : each.owner
    const finding = findingOf({ ...each, owner }, states.get(each.operation ?? '') ?? null)
    return finding ? [{ finding, target, vm }] : []
  })
  return { found, unreached }
}
