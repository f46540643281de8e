import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { BulkResult } from '#shared/contracts/bulk.ts'
import { nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import { type AdoptionPlan, vmAdoptions } from '#shared/contracts/vm/vm-adoptions.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, ForbiddenError, type Violation } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { endedOf } from '#shared/service/bulk.ts'
import { implement } from '#shared/service/implement.ts'
import { planned, requirePlan } from '#shared/service/plan.ts'
import { requireStorage } from '../lifecycle/require-storage.ts'
import { vmRecords } from '../model.ts'
import { findDisks, looseViolations, obstacles, type Taken } from './adoptable.ts'
import { type Chosen, clashes, nameAsVm, overLimits } from './together.ts'
import { findUnmanaged, unmanaged } from './unmanaged.ts'

type Given = Params<typeof vmAdoptions, 'run'>
type Wanted = NonNullable<Given['domains']>[number]
type Found = NonNullable<Awaited<ReturnType<typeof findUnmanaged>>>
/** A guest, with all that stands against its adoption. */
type Judged = Wanted & { name: string; candidate: Found; disks: Taken[]; violations: Violation[] }
type Input = { given: Given; wanted: Wanted[] }

/** Reads one guest. @returns null when the node has none of this name */
async function judge(reached: Reached, wanted: Wanted, asking: Call | null): Promise<Judged | null> {
  const candidate = await findUnmanaged(reached, wanted.domain)
  if (!candidate) return null
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

/** The guests that are asked for; all that are not managed, when none are named. */
async function wantedOf({ id, domains }: Given): Promise<Wanted[]> {
  return domains ?? (await unmanaged({ id })).data.map(({ uuid }) => ({ domain: uuid }))
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

/** Reads guests, some at a time. @returns them in their order, null for one that the node has not; fewer after the deadline */
async function judgeAll(reached: Reached, wanted: Wanted[], asking: Call | null, deadline: number) {
  const found: (Judged | null)[] = []
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
async function decide({ id: node, resource_pool }: Given, wanted: Wanted[], asking: Call | null) {
  const room = resource_pool === undefined ? null : await call(resourcePools, 'get', { id: resource_pool })
  const read = await judgeAll(await reach(node), wanted, asking, asking ? Date.now() + planMs : Infinity)
  const judged = read.filter((each) => each !== null)
  addTo(judged, clashes)
  if (room) addTo(judged, (chosen) => overLimits(chosen, room))
  const unknown = read.flatMap((each, index) => (each === null ? [wanted[index]!.domain] : []))
  const refused = [
    ...unknown.map((domain) => {
      const reason = { field: 'domain', code: 'not_found', message: `node '${node}' has no domain '${domain}'` }
      return { uuid: domain, domain, name: domain, reasons: [reason] }
    }),
    ...judged
      .filter(({ violations }) => violations.length > 0)
      .map(({ name, candidate: { found }, violations: reasons }) => {
        return { uuid: found.handle, domain: found.name, name, reasons }
      }),
  ]
  const adopts = judged.filter(({ violations }) => violations.length === 0).map(adoptedOf)
  return { adopts, refused, unread: wanted.slice(read.length).map(({ domain }) => domain) }
}

function requirePool({ resource_pool }: Given, asking: Call): void {
  if (resource_pool !== undefined) requireRight(asking, 'VmAllocate', `/api/resource-pools/${resource_pool}`)
}

async function planOf(given: Given, asking: Call): Promise<AdoptionPlan> {
  requirePool(given, asking)
  const { id: node, resource_pool = null } = given
  const decided = await decide(given, await wantedOf(given), asking)
  const effects = decided.adopts.map(({ status: _, notes: _n, ...each }) => each)
  return planned({ node, resource_pool, ...decided }, { node, resource_pool, effects })
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

const adoptMany = {
  ...operation({
    accept: async (given: Given, accepting): Promise<Input> => {
      if (requestContext()?.ifPlan === undefined) requirePool(given, accepting)
      else requirePlan(await planOf(given, accepting))
      const wanted = await wantedOf(given)
      if (wanted.length === 0) throw new ConflictError(`Node '${given.id}' has no guest that Horcrux does not manage`)
      // An operation that is tried again adopts under the same ids.
      return { given, wanted: wanted.map((each) => ({ ...each, id: each.id ?? newId() })) }
    },
    run: async (op: Op, { given, wanted }): Promise<BulkResult> => {
      const { adopts, refused } = await op.step('reading guests', () => decide(given, wanted, null))
      const { id: node, resource_pool } = given
      const each = adopts.map(({ uuid, id, name }) => {
        return { node, domain: uuid, id: id!, name, ...(resource_pool !== undefined && { resource_pool }) }
      })
      const left = refused.map(leftOf)
      if (each.length === 0) throw new ConflictError(noneOf(node, left), { details: { refused: left } })
      const outcomes = await op.children(vms, 'adopt', each)
      return { ...endedOf(each, outcomes), skipped: [], refused: left }
    },
  }),
  plan: planOf,
}

const leftOf = ({ uuid, name, reasons }: AdoptionPlan['refused'][number]): BulkResult['refused'][number] => {
  return { id: uuid, name, error: 'VALIDATION_ERROR', message: reasons.map(({ message }) => message).join('; ') }
}

/** The first few reasons. */
function noneOf(node: string, left: BulkResult['refused']): string {
  const told = left.slice(0, 5).map(({ name, message }) => `${name}: ${message}`)
  return `No guest of node '${node}' can be adopted: ${told.join('; ')}${left.length > 5 ? ' …' : ''}`
}

export const vmAdoptionService = implement(vmAdoptions, { run: adoptMany })
