import type { Snapshots } from '../../parts.ts'
import { isSwitched, switchDisks } from './switch-disks.ts'
import { merge } from './merge.ts'
import { drop, keepDefinition, keepState, kept, restoreState } from './kept-state.ts'
import { pack, unpack } from './packed-state.ts'
import { restoreMemory, saveMemory } from './memory.ts'

export const snapshots: Snapshots = {
  switchDisks,
  isSwitched,
  merge,
  keepDefinition,
  keepState,
  kept,
  restoreState,
  saveMemory,
  restoreMemory,
  drop,
  pack,
  unpack,
}
