import {
  type GuestProbe,
  type HealthCheckName,
  healthChecks,
  type HealthResult,
} from '#shared/contracts/migration/health.ts'

export type Verdict = Pick<HealthResult, 'status' | 'reason'>
/** `isRestarted`: the guest was off during its move. */
type Compared = { before: GuestProbe; after: GuestProbe; isPaused: boolean; isRestarted: boolean }

const passed: Verdict = { status: 'passed', reason: null }
const failed = (reason: string): Verdict => ({ status: 'failed', reason })
const skipped = (reason: string): Verdict => ({ status: 'skipped', reason })

/** Compares a number after a move with that before it. */
function sameNumber(before: number | null, after: number | null, unit: string): Verdict {
  if (before === null) return skipped('it was not measured before the move')
  if (after === null) return failed('the hypervisor does not tell it')
  return Math.abs(after - before) < 1 ? passed : failed(`it has ${after} ${unit}, and had ${before}`)
}

const judges: Record<HealthCheckName, (compared: Compared) => Verdict> = {
  vm_running: ({ after, isPaused }) => {
    const expected = isPaused ? 'paused' : 'running'
    return after.status === expected ? passed : failed(`it is ${after.status}, not ${expected}`)
  },
  qemu_responsive: ({ after }) => (after.monitor_error === null ? passed : failed(after.monitor_error)),
  memory_allocation: ({ before, after }) => sameNumber(before.memory_mib, after.memory_mib, 'MiB'),
  cpu_availability: ({ before, after }) => sameNumber(before.cpus, after.cpus, 'processors'),
  disk_io: ({ after }) =>
    after.monitor_error !== null
      ? failed('the state of its disks is not known: its hypervisor does not answer')
      : after.broken_disks.length === 0
        ? passed
        : failed(`requests have failed: ${after.broken_disks.join(', ')}`),
  network_connectivity: ({ before, after }) =>
    before.nics === 0 ? skipped('it has no NIC that counts packets') : sameNumber(before.nics, after.nics, 'NICs'),
  guest_agent_responsive: ({ before, after, isPaused, isRestarted }) => {
    if (isPaused) return skipped('it is paused')
    if (isRestarted) return skipped('it has just been started')
    if (!before.has_agent) return skipped('its agent did not answer before the move')
    return after.has_agent ? passed : failed('its agent does not answer')
  },
}

/** Checks that only warn. */
const optional: ReadonlySet<HealthCheckName> = new Set(['guest_agent_responsive'])

export type Judged = Verdict & Pick<HealthResult, 'name' | 'is_critical'>

/** Judges the seven checks of a guest from what was read of it before and after its move. */
export const judgeGuest = (compared: Compared): Judged[] =>
  healthChecks.map((name) => ({ name, is_critical: !optional.has(name), ...judges[name](compared) }))

/** All checks without an answer. @param why the verdict of each */
export const unanswered = (why: Verdict): Judged[] =>
  healthChecks.map((name) => ({ name, is_critical: !optional.has(name), ...why }))

const isBad = ({ status }: Pick<HealthResult, 'status'>) => status === 'failed' || status === 'timeout'

/** The whole of some results, and its consequence. @param mayMoveBack a failed critical check moves the guest back */
export function concludeHealth(results: HealthResult[], mayMoveBack: boolean) {
  const bad = results.filter(isBad)
  const status = bad.length > 0 ? 'failed' : results.some((each) => each.status === 'passed') ? 'passed' : 'skipped'
  const isGoing = mayMoveBack && bad.some(({ is_critical }) => is_critical)
  return {
    status: status as 'passed' | 'failed' | 'skipped',
    consequence: isGoing ? ('move_back' as const) : bad.length > 0 ? ('warning' as const) : ('none' as const),
  }
}
