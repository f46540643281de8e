import { check } from '#shared/contract/validate.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import type { Violation } from '#shared/errors.ts'
import { checking } from '#shared/service/violations.ts'
import * as creation from '../lifecycle/create.ts'
import { vmRecords } from '../model.ts'

/**
 * Plans the VM that an import makes, and adds everything against it to the violations.
 * @param field of the request that says where the VM comes from
 * @returns undefined when it could not be planned
 */
export async function violationsOf(request: creation.Given, violations: Violation[], field: string) {
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
