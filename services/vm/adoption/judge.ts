/** Judges guests of a node that are to be adopted together, without effects. */
import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { AdoptionPlan, vmAdoptions } from '#shared/contracts/vm/vm-adoptions.ts'
import { AppError, ForbiddenError, UnavailableError, type Violation } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requireStorage } from '../lifecycle/require-storage.ts'
import { vmRecords } from '../model.ts'
import { findDisks, looseViolations, obstacles, type Taken } from './adoptable.ts'
import { type Chosen, clashes, nameAsVm, overLimits } from './together.ts'
import { findUnmanaged } from './unmanaged.ts'

export type Given = Params<typeof vmAdoptions, 'run'>
export type Wanted = NonNullable<Given['domains']>[number]
type Found = NonNullable<Awaited<ReturnType<typeof findUnmanaged>>>
/** A guest, with all that stands against its adoption. */
type Judged = Wanted & { name: string; candidate: Found; disks: Taken[]; violations: Violation[] }
export type Refused = AdoptionPlan['refused'][number]
const refusedAs = (domain: string, code: string, message: string): Refused => {
  return { uuid: domain, domain, name: domain, reasons: [{ field: 'domain', code, message }] }
}

/** Reads one guest. @returns it refused when it cannot be read, so that it stops no other */
async function judge(reached: Reached, wanted: Wanted, asking: Call | null): Promise<Judged | Refused> {
  try {
    const candidate = await findUnmanaged(reached, wanted.domain)
    if (candidate) return await judgeFound(reached, wanted, candidate, asking)
    return refusedAs(wanted.domain, 'not_found', `node '${reached.node.id}' has no domain '${wanted.domain}'`)
  } catch (error) {
    if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
    return refusedAs(wanted.domain, 'invalid', error.message)
  }
}

async function judgeFound(reached: Reached, wanted: Wanted, candidate: Found, asking: Call | null): Promise<Judged> {
  const { hypervisor, found } = candidate
  const name = wanted.name ?? nameAsVm(found.name)
  const violations = [
    ...found.violations,
    ...(await obstacles({ node: reached.node.id, hypervisor, found }, name)),
    ...(await idViolations(wanted.id)),
  ]
  const disks = found.violations.length > 0 ? [] : await findDisks(reached, found, violations)
  for (const { disk } of disks) violations.push(...(await looseViolations(reached, disk)))
  const pools = disks.flatMap(({ disk }) => disk.pool ?? [])
  // The adoptions of an operation are refused by their own access checks.
  if (asking)
    violations.push(
      ...lacking(() => requireRight(asking, 'VmAllocate', `/api/vms/${wanted.id ?? newId()}`)),
      ...lacking(() => requireStorage(asking, pools)),
    )
  return { ...wanted, name, candidate, disks, violations }
}

const idViolations = async (id: string | undefined): Promise<Violation[]> =>
  id !== undefined && (await vmRecords.get(id))
    ? [{ field: 'id', code: 'taken', message: `there is a virtual machine '${id}' already` }]
    : []

/** A right that is missing for one guest refuses this guest only. */
function lacking(check: () => void): Violation[] {
  try {
    check()
    return []
  } catch (error) {
    if (!(error instanceof ForbiddenError)) throw error
    return [{ field: 'domain', code: 'forbidden', message: error.message }]
  }
}

/** Adds what a list says against its guests, of which only those without violations count. */
function addTo(all: Judged[], find: (chosen: Chosen[]) => Violation[][]): void {
  const free = all.filter(({ violations }) => violations.length === 0)
  const chosen = free.map(({ name, candidate: { found }, disks }) => ({
    name,
    found,
    disks: disks.map(({ disk }) => disk),
  }))
  for (const [index, against] of find(chosen).entries()) free[index]!.violations.push(...against)
}

/** Guests that are read at a time: each takes some commands on the node. */
const together = 4
/** Time for the reading of guests in a request, which a caller waits for. Milliseconds. */
const planMs = 2500

/** Reads guests, some at a time. @returns them in their order; fewer after the deadline */
async function judgeAll(reached: Reached, wanted: Wanted[], asking: Call | null, deadline: number) {
  const found: (Judged | Refused)[] = []
  let next = 0
  const worker = async () => {
    while (next < wanted.length && Date.now() < deadline) {
      const index = next++
      found[index] = await judge(reached, wanted[index]!, asking)
    }
  }
  await Promise.all(Array.from({ length: together }, worker))
  return found
}

/** Judges guests, by themselves and among each other. @param asking null: in an operation, which has the time to read all */
export async function decide({ id: node, resource_pool }: Given, wanted: Wanted[], asking: Call | null) {
  const room = resource_pool === undefined ? null : await call(resourcePools, 'get', { id: resource_pool })
  const read = await judgeAll(await reach(node), wanted, asking, asking ? Date.now() + planMs : Infinity)
  const judged = read.filter((each) => 'candidate' in each)
  addTo(judged, clashes)
  if (room) addTo(judged, (chosen) => overLimits(chosen, room))
  const refused = [
    ...read.filter((each) => 'reasons' in each),
    ...judged.filter(({ violations }) => violations.length > 0).map(refusedOf),
  ]
  const adopts = judged.filter(({ violations }) => violations.length === 0).map(adoptedOf)
  return { adopts, refused, unread: wanted.slice(read.length).map(({ domain }) => domain) }
}

const refusedOf = ({ name, candidate: { found }, violations: reasons }: Judged): Refused => {
  return { uuid: found.handle, domain: found.name, name, reasons }
}

const adoptedOf = ({ id, name, candidate, disks }: Judged): AdoptionPlan['adopts'][number] => {
  const { hypervisor, found } = candidate
  const foreign = found.foreign_disks?.map(({ id: place, device, source }) => `${device} ${place} (${source})`) ?? []
  return {
    uuid: found.handle,
    domain: found.name,
    name,
    id: id ?? null,
    hypervisor,
    status: found.status,
    cpus: found.cpus,
    memory: found.memory,
    disks: disks.map(({ disk }) => ({
      id: disk.id,
      source: nameOfSource(disk.source),
      size_bytes: disk.size_bytes,
      pool: disk.pool,
      volume: disk.volume,
    })),
    notes: [...foreign, ...found.notes],
  }
}
