import type { MigrationPlan } from '#shared/contracts/migration/migrations.ts'
import type { TargetDisk } from '#shared/contracts/vm/moves.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { forecastOf, sampleMemory } from '../forecast/forecast.ts'
import { doubtOf } from '../forecast/foresee.ts'
import { readSettings } from '../model.ts'
import { type Planned, planMigration, type Wanted } from './plan.ts'

/** A request has to be answered in time, with a forecast or without. */
const sampleMs = 3000

/** Bandwidth, auto-converge and post-copy of a migration, as given or by the settings. */
export async function paceOf(
  { bandwidth_limit, auto_converge, post_copy }: Wanted,
  { plan: { migration_type: type, disks }, isHa }: Pick<Planned, 'plan' | 'isHa'>,
) {
  const settings = await readSettings()
  // A guest of HA must not depend on two nodes.
  const isPostCopyFit = type === 'live' && !disks.some(({ is_copied }) => is_copied)
  return {
    bandwidth_limit: bandwidth_limit ?? settings.bandwidth_limit,
    // A guest of an online migration is not slowed down: it fails instead.
    auto_converge: type === 'live' && (auto_converge ?? settings.auto_converge),
    post_copy: isPostCopyFit ? (post_copy ?? (isHa ? 'never' : settings.post_copy)) : ('never' as const),
  }
}

/** Sizes of the disks that are copied. Bytes. */
export const copiedBytes = ({ disks }: Pick<Vm, 'disks'>, wanted: TargetDisk[]): number =>
  disks
    .filter(({ id }) => wanted.some((each) => each.id === id && each.is_copied))
    .reduce((sum, { size_bytes }) => sum + size_bytes, 0)

/** The plan of a migration, with the forecast of one that is possible. */
export async function foretold(wanted: Wanted): Promise<MigrationPlan> {
  // The answer takes a second less when the memory is sampled during the checks.
  const sampling = wanted.migration_type === 'offline' ? null : sampleMemory(wanted.vm_id, sampleMs)
  // A plan with violations does not wait for it.
  sampling?.catch(() => undefined)
  const planned = await planMigration(wanted)
  const { plan, vm } = planned
  if (!plan.is_possible) return plan
  const pace = await paceOf(wanted, planned)
  const forecast = await forecastOf({ ...plan, ...pace, disk_bytes: copiedBytes(vm, plan.disks) }, await sampling)
  const doubt = forecast && doubtOf(forecast, pace.post_copy)
  return { ...plan, forecast, warnings: doubt === null ? plan.warnings : [...plan.warnings, doubt] }
}
