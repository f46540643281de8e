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
type Input = { each: Params<typeof vms, 'adopt'>[]; names: string[]; refused: BulkResult['refused'] }

/** Reads one guest. @returns null when the node has none of this name */
async function judge(reached: Reached, wanted: Wanted, asking: Call): Promise<Judged | null> {
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

async function planOf(given: Given, asking: Call): Promise<AdoptionPlan> {
  const { id: node, resource_pool } = given
  if (resource_pool !== undefined) requireRight(asking, 'VmAllocate', `/api/resource-pools/${resource_pool}`)
  const room = resource_pool === undefined ? null : await call(resourcePools, 'get', { id: resource_pool })
  const reached = await reach(node)
  const judged: Judged[] = []
  const refused: AdoptionPlan['refused'] = []
  // One after the other: each asks the hypervisor several times.
  for (const wanted of await wantedOf(given)) {
    const { domain } = wanted
    const found = await judge(reached, wanted, asking)
    if (found) judged.push(found)
    else {
      const reason = { field: 'domain', code: 'not_found', message: `node '${node}' has no domain '${domain}'` }
      refused.push({ uuid: domain, domain, name: domain, reasons: [reason] })
    }
  }
  addTo(judged, clashes)
  if (room) addTo(judged, (chosen) => overLimits(chosen, room))
  for (const { name, candidate, violations: reasons } of judged)
    if (reasons.length > 0) refused.push({ uuid: candidate.found.handle, domain: candidate.found.name, name, reasons })
  const adopts = judged.filter(({ violations }) => violations.length === 0).map(adoptedOf)
  const effects = adopts.map(({ status: _, notes: _n, ...each }) => each)
  return planned({ node, resource_pool: resource_pool ?? null, adopts, refused }, { node, resource_pool, effects })
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
      const plan = await planOf(given, accepting)
      requirePlan(plan)
      const { node, resource_pool, adopts } = plan
      const refused = plan.refused.map(({ uuid, name, reasons }) => {
        return { id: uuid, name, error: 'VALIDATION_ERROR', message: reasons.map(({ message }) => message).join('; ') }
      })
      if (adopts.length === 0) throw new ConflictError(nothingOf(node, refused), { details: { plan } })
      return {
        each: adopts.map(({ uuid, id, name }) => ({
          node,
          domain: uuid,
          id: id ?? newId(),
          name,
          ...(resource_pool !== null && { resource_pool }),
        })),
        names: adopts.map(({ name }) => name),
        refused,
      }
    },
    run: async (op: Op, { each, names, refused }): Promise<BulkResult> => {
      const outcomes = await op.children(vms, 'adopt', each)
      const items = each.map(({ id }, index) => ({ id: id!, name: names[index]! }))
      return { ...endedOf(items, outcomes), skipped: [], refused }
    },
  }),
  plan: planOf,
}

function nothingOf(node: string, refused: BulkResult['refused']): string {
  const told = refused.slice(0, 5).map(({ name, message }) => `${name}: ${message}`)
  return told.length === 0
    ? `Node '${node}' has no guest that Horcrux does not manage`
    : `No guest of node '${node}' can be adopted: ${told.join('; ')}${refused.length > 5 ? ' …' : ''}`
}

export const vmAdoptionService = implement(vmAdoptions, { run: adoptMany })
