import { check } from '#shared/contract/validate.ts'
import type { ImportPlan } from '#shared/contracts/vm/vm-imports.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import type { Violation } from '#shared/errors.ts'
import { checking } from '#shared/service/violations.ts'
import * as creation from '../lifecycle/create.ts'
import { vmRecords } from '../model.ts'
import type { Mapped } from './map-appliance.ts'

type Told = Omit<ImportPlan, 'plan_id'>
type Judged = { plan: Told; request: creation.Given }

/**
 * Plans the VM that an import makes, with everything against it.
 * @param mapped.request has an id and a node
 * @param field of the request that says where the VM comes from
 * @param more violations that were found before
 */
export async function judged(mapped: Mapped, field: string, more: Violation[] = []): Promise<Judged> {
  const { request, violations: own, ...told } = mapped
  const violations = [...more, ...own]
  const found = await planWith(request, violations, field)
  const { node, cpus, topology, memory, firmware = null } = request
  const plan = {
    node: node!,
    cpus,
    ...(topology && { topology }),
    memory,
    firmware: found?.described?.firmware ?? firmware,
    ...told,
    violations,
  }
  return { plan, request: found?.checked ?? request }
}

/** Adds everything against a request for a VM to the violations. @returns undefined when it could not be planned */
async function planWith(request: creation.Given, violations: Violation[], field: string) {
  const { id, name, node } = request
  if (await vmRecords.get(id!)) violations.push({ field: 'id', code: 'taken', message: `'${id}' is taken` })
  if (await vmRecords.find({ name })) violations.push({ field: 'name', code: 'taken', message: `'${name}' is taken` })
  const before = violations.length
  const checked = await checking(field, violations, async () =>
    check<creation.Given>(vms.actions.create.params, request),
  )
  if (!checked || violations.length > before) return undefined
  const { described, violations: more } = await creation.planOn(node!, { ...checked, id: id! })
  violations.push(...more)
  return { checked, described }
}
