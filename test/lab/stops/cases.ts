import { memberNames, memberOf } from '#shared/bus/identity/service-permissions.ts'
import type { Stop } from './stopping-service.ts'

/** One stop: its place in an operation, the processes that are stopped, and for how long. */
export type StopCase = Pick<Stop, 'kind' | 'step' | 'when'> & {
  scenario: string
  /** The service that is stopped: the one that runs the operation by the replica that does, others by one replica or all. */
  victim: string
  who: 'itself' | 'one' | 'all'
  length: keyof typeof stopMs
}

/** The lease of operations in the matrix: longer than a silent process is waited for (3 s). Seconds. */
export const leaseSeconds = 5
/** Longer than the heartbeats by which processes know of each other; longer than a lease. Milliseconds. */
export const stopMs = { heartbeat: 3600, lease: 6500 }

/** The service whose processes run the operations of a contract. */
export const runnerOf = (contract: string): string =>
  memberNames.find((name) => memberOf(name).serves.some((one) => one.name === contract))!

export const nameOf = ({ scenario, step, when, victim, who, length }: StopCase) =>
  `${scenario}: ${victim} (${who}) stopped ${when} '${step}', longer than the ${length}`

/** Each service, stopped for each length, at each of these steps. */
export function stopCases(scenario: string, kind: string, steps: string[]): StopCase[] {
  const runner = runnerOf(kind.split('.')[0]!)
  const lengths = ['heartbeat', 'lease'] as const
  return steps.flatMap((step) => {
    const own = (['before', 'during', 'after'] as const).flatMap((when) =>
      lengths.map((length): StopCase => ({ scenario, kind, step, when, victim: runner, who: 'itself', length })),
    )
    const others = memberNames
      .filter((name) => name !== runner)
      .flatMap((victim): StopCase[] => [
        { scenario, kind, step, when: 'before', victim, who: 'one', length: 'heartbeat' },
        { scenario, kind, step, when: 'before', victim, who: 'all', length: 'lease' },
      ])
    return [...own, ...others]
  })
}
