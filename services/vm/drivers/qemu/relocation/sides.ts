import { UnavailableError } from '#shared/errors.ts'
import { domainState } from '#shared/nodes/libvirt/client/domain.ts'
import type { StateAndReason } from '#shared/nodes/libvirt/worker/states.ts'
import type { Guest } from '../../guest.ts'
import type { Side, Sides } from '../../relocation.ts'
import { libvirtAt } from '../libvirt.ts'
import { unlessMissing } from '../state.ts'

const offStates: ReadonlySet<string> = new Set(['shut_off', 'crashed', 'no_state'])

/** A domain of a move. libvirt marks it the same way on both hosts while it is paused for the move, and during post-copy. */
export function sideOf({ state, reason }: StateAndReason, at: keyof Sides): Side {
  if (offStates.has(state)) return 'off'
  if (reason === 'postcopy' || reason === 'postcopy_failed') return 'split'
  if (state !== 'paused') return 'running'
  if (reason !== 'migration' && reason !== 'starting_up') return 'paused'
  return at === 'target' ? 'incoming' : 'handed_over'
}

async function read(node: string, handle: string, at: keyof Sides): Promise<Side> {
  try {
    const libvirt = await libvirtAt(node)
    return await unlessMissing<Side>(async () => sideOf(await domainState(libvirt, handle), at), 'absent')
  } catch (error) {
    if (error instanceof UnavailableError) return 'unknown'
    throw error
  }
}

export async function sides({ node, handle }: Guest, to: string): Promise<Sides> {
  const [source, target] = await Promise.all([read(node, handle, 'source'), read(to, handle, 'target')])
  return { source, target }
}
