import { isDeepStrictEqual } from 'node:util'
import type { Pending } from '#shared/contracts/vm/hardware.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import type { Violation } from '#shared/errors.ts'
import type { VmRecord } from '../model.ts'

/** Fields that the host's definition is made of. */
const defining = [
  'name',
  'memory',
  'balloon',
  'cpus',
  'max_cpus',
  'cpu_model',
  'topology',
  'firmware',
  'graphics',
  'video',
  'boot_order',
  'iso',
  'boot',
] as const
/** Fields of the host's own list beside the definition. */
const beside = ['autostart'] as const
type Field = (typeof defining)[number] | (typeof beside)[number]
export type Change = { [F in Field]?: Vm[F] | undefined }

const changedOf = <F extends Field>(fields: readonly F[], vm: Pick<Vm, Field>, given: Change): F[] =>
  fields.filter((field) => given[field] !== undefined && !isDeepStrictEqual(vm[field], given[field]))

/** The fields that a change makes different, and those of them that the definition is made of. */
export const changedFields = (vm: Pick<Vm, Field>, given: Change) => ({
  changed: changedOf([...defining, ...beside], vm, given),
  isRedefined: changedOf(defining, vm, given).length > 0,
})

/** True when a change names any of these fields, also with the value of the record. */
export const saysFields = (given: Change) => [...defining, ...beside].some((field) => given[field] !== undefined)

type Described = Pick<Vm, 'memory' | 'balloon' | 'cpus' | 'max_cpus' | 'topology' | 'boot_order' | 'nics' | 'iso'> & {
  disks: { id: string }[]
}

/** Violations between the fields of a guest. */
export function contradictions(vm: Described): Violation[] {
  const violations: Violation[] = []
  const say = (field: string, message: string) => violations.push({ field, code: 'contradiction', message })
  if (vm.balloon !== null && vm.balloon > vm.memory) say('balloon', `must be at most memory, which is ${vm.memory}`)
  if (vm.max_cpus !== null && vm.max_cpus < vm.cpus) say('max_cpus', `must be at least cpus, which is ${vm.cpus}`)
  if (vm.topology) {
    const { sockets, cores, threads } = vm.topology
    const [name, cpus] = vm.max_cpus === null ? ['cpus', vm.cpus] : ['max_cpus', vm.max_cpus]
    const product = sockets * cores * threads
    if (product !== cpus)
      say('topology', `${sockets} × ${cores} × ${threads} is ${product}, but ${name} is ${String(cpus)}`)
  }
  const bootable = new Set(['cdrom', 'network', ...vm.disks.map(({ id }) => id), ...vm.nics.map(({ mac }) => mac)])
  for (const [index, name] of (vm.boot_order ?? []).entries())
    if (!bootable.has(name)) say(`boot_order.${index}`, `there is no ${name}; there are ${[...bootable].join(', ')}`)
  return violations
}

/** Violations between the fields of a changed guest, without those of unchanged fields that were there before. */
export function newContradictions(before: Described, changes: Partial<Described>): Violation[] {
  const known = contradictions(before)
  const isGiven = ({ field }: Violation) => Object.hasOwn(changes, field.split('.')[0] ?? field)
  const isNew = (violation: Violation) =>
    isGiven(violation) || !known.some((each) => isDeepStrictEqual(each, violation))
  return contradictions({ ...before, ...changes }).filter(isNew)
}

const rank = ({ field }: Pending) => (defining as readonly string[]).indexOf(field)

/** The fields of a record with pending changes, sorted. */
export const waiting = (pending: Pending[]) => ({
  pending: pending.toSorted((a, b) => rank(a) - rank(b)),
  pending_restart: pending.length > 0,
})

/** The pending changes after a change of these fields. A running guest keeps its values until its next start. */
export function pendingAfter(vm: VmRecord, fields: Field[], given: Change): Pending[] {
  if (vm.status === 'stopped') return []
  const isGiven = new Set<string>(fields)
  const added = fields
    .filter((field) => field !== 'autostart')
    .map((field) => {
      const known = vm.pending.find((each) => each.field === field)
      return { field, current: known ? known.current : vm[field], next: given[field] }
    })
    .filter(({ current, next }) => !isDeepStrictEqual(current, next))
  return [...vm.pending.filter(({ field }) => !isGiven.has(field)), ...added]
}
