import type { EngineState } from '#shared/contracts/cluster/nodes.ts'
import { now } from '#shared/events/event.ts'
import { engineKinds } from '#shared/nodes/engines.ts'

/** The state of each engine before the first check. */
export const unknownEngines = (): EngineState[] =>
  engineKinds.map((kind) => ({
    kind,
    status: 'unknown',
    reason: null,
    version: null,
    components: {},
    checked_at: null,
  }))

/** The fields of a new node before its first check. */
export const unchecked = () => ({
  status: 'unknown' as const,
  status_reason: null,
  engines: unknownEngines(),
  channels: [],
  maintenance: false,
  facts: null,
  created_at: now(),
  updated_at: now(),
})
