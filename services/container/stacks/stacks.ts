import { type Stack, stacks } from '#shared/contracts/container/stacks.ts'
import { listOf } from '#shared/db/list-of.ts'
import { everything } from '#shared/db/page.ts'
import { notFound } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { visibleTo } from '../images/find.ts'
import { type ContainerRecord, containerRecords } from '../model.ts'
import { serviceOf } from '../state/observe.ts'

/** The status of a group: that of all its containers, or `partial`. */
export function statusOfAll(statuses: ContainerRecord['status'][]): Stack['status'] {
  if (statuses.includes('unknown')) return 'unknown'
  const running = statuses.filter((status) => status === 'running').length
  if (running === statuses.length) return 'running'
  return running > 0 ? 'partial' : 'stopped'
}

/** Containers by their projects. */
export function stacksOf(all: ContainerRecord[]): Stack[] {
  const groups = Map.groupBy(
    all.filter(({ stack }) => stack !== null),
    ({ node, runtime, stack }) => `${node}/${runtime}/${stack}`,
  )
  return [...groups].map(([key, members]) => {
    const { node, runtime, stack } = members[0]!
    return {
      id: idFrom(`stack ${key}`),
      name: stack!,
      node,
      runtime,
      status: statusOfAll(members.map(({ status }) => status)),
      containers: members
        .map(({ id, name, labels, status }) => ({ id, name, service: serviceOf(labels), status }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    }
  })
}

async function visible(call: Pick<Call, 'caller' | 'rights'>): Promise<Stack[]> {
  const maySee = visibleTo(call)
  const all = await containerRecords.all({ stack: { $ne: null } })
  return stacksOf(all.filter(({ id }) => maySee(id)))
}

export const stackService = implement(stacks, {
  list: async (query, call) => listOf(await visible(call), query, ({ id }) => id, everything),
  get: async ({ id }, call) => {
    const found = (await visible(call)).find((stack) => stack.id === id)
    if (!found) throw notFound('Stack', id)
    return found
  },
})
