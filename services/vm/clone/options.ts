import type { CloneParams } from '#shared/contracts/vm/clones.ts'
import type { CloneMode } from '#shared/contracts/storage/volumes.ts'
import type { Violation } from '#shared/errors.ts'
import { presetRecords } from './presets.ts'

export type CloneOptions = Omit<CloneParams, 'preset' | 'mode'> & { mode: CloneMode | undefined }

/** Fills a request in from its preset, and adds to the violations. */
export async function withPreset(
  { preset, ...given }: CloneParams,
  ifNoMode: CloneMode | undefined,
  violations: Violation[],
): Promise<CloneOptions> {
  const known = preset === undefined ? null : await presetRecords.get(preset)
  if (preset !== undefined && !known)
    violations.push({ field: 'preset', code: 'not_found', message: `Clone preset '${preset}' not found` })
  const { mode, start, pool, cpus, memory, tags, network_config } = known ?? {}
  const usual = Object.entries({ mode, start, pool, cpus, memory, tags }).filter(([, value]) => value !== undefined)
  const network = network_config || given.network_config ? { ...network_config, ...given.network_config } : undefined
  const options = { ...Object.fromEntries(usual), ...given, ...(network && { network_config: network }) }
  if (!options.mode && !ifNoMode)
    violations.push({ field: 'mode', code: 'required', message: 'must be full or linked, here or in the preset' })
  return { ...options, mode: options.mode ?? ifNoMode }
}
