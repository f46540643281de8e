import { call } from '#shared/bus/call.ts'
import type { DrainPlan } from '#shared/contracts/cluster/drains.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import {
  AppError,
  CancelledError,
  ConflictError,
  HandoverError,
  LostLeaseError,
  NotFoundError,
} from '#shared/errors.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { loadWorld } from '../placement/load.ts'
import { brokenRules } from '../placement/room.ts'

export type Move = Pick<DrainPlan['moves'][number], 'vm_id' | 'from' | 'to' | 'is_running'>
type Moved = { moved: string[]; skipped: { vm_id: string; reason: string }[] }

/** Errors of this operation's own end, which no move has caused. */
const ownEnd = [CancelledError, HandoverError, LostLeaseError]

/**
 * Moves VMs one after the other, each by a migration that is an operation of its own. A VM that has changed since the plan is
 * left out, with the reason. The first migration that fails ends the rest.
 */
export async function moveAll(
  op: Op,
  moves: Move[],
  { bandwidthMib, reason }: { bandwidthMib: number; reason: string },
): Promise<Moved> {
  const done: Moved = { moved: [], skipped: [] }
  for (const [index, move] of moves.entries()) {
    const { vm_id, to: target_node, is_running } = move
    const against = await op
      .step(`looking at ${vm_id}`, () => reasonAgainst(move))
      .catch((error: unknown) => {
        throw withContext(error, move, done.moved, moves.slice(index + 1))
      })
    if (against !== null) done.skipped.push({ vm_id, reason: against })
    else {
      const migration_type = is_running ? 'live' : 'offline'
      const wish = { vm_id, target_node, migration_type, bandwidth_limit: bandwidthMib, reason } as const
      await op
        .child(migrations, 'start', wish, { name: `moving ${vm_id} to ${target_node}` })
        .catch((error: unknown) => {
          throw withContext(error, move, done.moved, moves.slice(index + 1))
        })
      done.moved.push(vm_id)
    }
    op.progress(index + 1, moves.length, 'steps')
  }
  return done
}

/**
 * The reason that a planned move is left out; null when it is as planned.
 * @throws ConflictError when it would break a rule by now: other drains and failovers go on meanwhile
 */
async function reasonAgainst({ vm_id, from, to, is_running }: Move): Promise<string | null> {
  try {
    const { node, status } = await call(vms, 'get', { id: vm_id }, { isQuestion: true })
    if (node === to) return `it is on '${to}' already`
    if (node !== from) return `it is on '${node}' by now`
    if (is_running && status === 'stopped') return 'it was shut down in the meantime'
    if (!is_running && status !== 'stopped') return 'it was started in the meantime'
  } catch (error) {
    if (error instanceof NotFoundError) return 'it was deleted in the meantime'
    throw error
  }
  // The room is checked by the migration itself.
  const broken = brokenRules(await loadWorld({ withFeatures: false, withMeasured: false }), vm_id, to)
  if (broken !== null) throw new ConflictError(`since it was planned, ${broken}`)
  return null
}

function withContext(error: unknown, { vm_id, to }: Move, moved: string[], rest: Move[]): unknown {
  if (!(error instanceof AppError) || ownEnd.some((kind) => error instanceof kind)) return error
  const left = rest.map(({ vm_id: id }) => id)
  return new ConflictError(
    `Virtual machine '${vm_id}' was not moved to '${to}': ${error.message}. Moved before it: ${moved.join(', ') || 'none'}; not begun: ${left.join(', ') || 'none'}`,
    { details: { vm_id, target_node: to, moved, not_begun: left, because: error.details }, cause: error },
  )
}
