import type { HaGroup } from '#shared/contracts/cluster/ha.ts'

/** Rules of an HA group that does not say them, and of a VM under HA without a group. */
export const usualRules: Omit<HaGroup, 'id' | 'name' | 'created_at' | 'updated_at' | 'version'> = {
  nodes: [],
  restricted: false,
  automatic: true,
  least_proof: 'deadline',
  max_restarts: 1,
  max_relocations: 1,
  stable_seconds: 600,
  hold_off_seconds: 180,
}
