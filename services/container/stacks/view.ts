import type { Stack } from '#shared/contracts/container/stacks.ts'
import { notFound } from '#shared/errors.ts'
import { type ContainerRecord, containerRecords } from '../model.ts'
import { serviceOf } from '../state/observe.ts'
import { stackIdOf, type StackRecord, stackRecords } from './model.ts'

/** The status of a group: that of all its containers, or `partial`. */
export function statusOfAll(statuses: ContainerRecord['status'][]): Stack['status'] {
  if (statuses.length === 0) return 'stopped'
  if (statuses.includes('unknown')) return 'unknown'
  const running = statuses.filter((status) => status === 'running').length
  if (running === statuses.length) return 'running'
  return running > 0 ? 'partial' : 'stopped'
}

type Stored = Pick<StackRecord, 'id' | 'name' | 'node' | 'runtime' | 'services' | 'version'>

function servicesOf(members: Stack['containers'], stored: Stored | undefined): Stack['services'] {
  const own = Map.groupBy(members, ({ service }) => service)
  const scales = new Map(stored?.services.map(({ name, scale }) => [name, scale]))
  const names = new Set([...scales.keys(), ...[...own.keys()].filter((name) => name !== null)])
  return [...names].toSorted().map((name) => {
    const there = own.get(name) ?? []
    const running = there.filter(({ status }) => status === 'running').length
    return { name, scale: scales.get(name) ?? null, containers: there.length, running }
  })
}

/** Containers by their projects, and the stacks that have none at present. */
export function stacksOf(all: ContainerRecord[], stored: Stored[]): Stack[] {
  const groups = Map.groupBy(
    all.filter(({ stack }) => stack !== null),
    ({ node, runtime, stack }) => stackIdOf(node, runtime, stack!),
  )
  const records = new Map(stored.map((record) => [record.id, record]))
  const ids = [...new Set([...groups.keys(), ...records.keys()])]
  return ids.map((id) => {
    const [members, record] = [groups.get(id) ?? [], records.get(id)]
    const { node, runtime } = record ?? members[0]!
    const shown = members
      .map((one) => ({ id: one.id, name: one.name, service: serviceOf(one.labels), status: one.status }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    return {
      id,
      name: record?.name ?? members[0]!.stack!,
      node,
      runtime,
      managed: record !== undefined,
      status: statusOfAll(members.map(({ status }) => status)),
      services: servicesOf(shown, record),
      containers: shown,
      version: record?.version ?? null,
    }
  })
}

/** A stack with all its containers. @throws NotFoundError */
export async function stackView(id: string): Promise<Stack> {
  const record = await stackRecords.require(id)
  const { node, runtime, name } = record
  const [found] = stacksOf(await containerRecords.all({ node, runtime, stack: name }), [record])
  if (!found) throw notFound('Stack', id)
  return found
}
