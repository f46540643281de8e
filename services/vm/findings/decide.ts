import type { Finding } from '#shared/contracts/vm/findings.ts'
import { idFrom } from '#shared/ids.ts'
import { activeStates } from '#shared/operation/entries.ts'

/** Something whose VM is gone. `isUnfinished`: a file that was being made. */
export type Left = Pick<Finding, 'kind' | 'node' | 'name' | 'owner'> & {
  operation: string | null
  isRunning?: boolean
  isUnfinished?: boolean
}

const isActive = (state: string) => activeStates.some((each) => each === state)
/** The states of operations that have undone all that they had made. */
const undone = new Set(['failed', 'cancelled', 'rolled_back'])

/** The reason that something stays; null when it is removed. */
function whyKept({ kind, operation, isRunning, isUnfinished }: Left, state: string | null): string | null {
  if (operation === null) return 'it does not say which operation has made it'
  if (state === null) return 'the operation that has made it is not known any more'
  if (isUnfinished) return null
  if (!undone.has(state)) return `the operation that has made it has ended as ${state}: it may be of use`
  if (kind === 'guest' && isRunning) return 'it runs: switch it off first'
  return null
}

/**
 * Decides what the sweep does to something whose VM is gone: it removes only what has the mark of an operation that has
 * ended and undone its work, or that was not complete when its operation ended.
 * @returns null when its operation is still active
 */
export function findingOf(left: Left, state: string | null): Finding | null {
  if (state !== null && isActive(state)) return null
  const { kind, node, name, owner, operation } = left
  const kept = whyKept(left, state)
  const gone = owner === null ? 'It was not completed' : `${owner} does not exist`
  return {
    id: idFrom(`finding ${kind} ${node} ${name}`),
    kind,
    node,
    name,
    owner,
    operation_id: operation,
    operation_state: state,
    action: kept === null ? 'remove' : 'report',
    reason: kept === null ? `${gone}, and the operation that made it has ended as ${state}` : `${gone}; ${kept}`,
  }
}
