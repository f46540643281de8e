import { computed, signal } from '@preact/signals'
import type { Operation } from '#shared/contracts/core/operations.ts'
import { call } from '../api/client.ts'
import { listen } from './stream.ts'

/** The operations of the drawer, by id: those of the caller, and of all users for an auditor. */
const known = signal<ReadonlyMap<string, Operation>>(new Map())
const mostKept = 100
const endings = new Set<(operation: Operation) => void>()
export const onEnd = (listener: (operation: Operation) => void) => endings.add(listener)

export const operationList = computed(() =>
  [...known.value.values()].toSorted(
    (a, b) => Number(isOver(a)) - Number(isOver(b)) || b.created_at.localeCompare(a.created_at),
  ),
)
export const runningCount = computed(() => [...known.value.values()].filter((operation) => !isOver(operation)).length)
export const isOver = ({ ended_at }: Pick<Operation, 'ended_at'>) => ended_at !== null

/** Keeps the newest version of an operation: an answer may be newer than the events that follow it. */
export function keep(operation: Operation): void {
  const before = known.peek().get(operation.id)
  if (before && before.version >= operation.version) return
  const next = new Map(known.peek()).set(operation.id, operation)
  for (const id of [...next.keys()].slice(0, Math.max(0, next.size - mostKept))) next.delete(id)
  known.value = next
  if (isOver(operation) && before && !isOver(before)) for (const ended of endings) ended(operation)
}

export async function readOperations(): Promise<void> {
  const { data } = await call('operations.list', { limit: 50 }).catch(() => ({ data: { data: [] as Operation[] } }))
  for (const operation of [...data.data].toReversed()) keep(operation)
}

listen({
  // The contract of the event: its data is the operation.
  event: (event) => event.type === 'OperationUpdated' && keep(event.data as unknown as Operation),
  resync: () => void readOperations(),
})

/** Waits until an operation has ended. */
export function ended(operation: Operation): Promise<Operation> {
  keep(operation)
  const now = known.peek().get(operation.id) ?? operation
  if (isOver(now)) return Promise.resolve(now)
  return new Promise((resolve) => {
    const listener = (other: Operation) => {
      if (other.id !== operation.id) return
      endings.delete(listener)
      resolve(other)
    }
    endings.add(listener)
  })
}
