import { allPages } from '#shared/bus/all-pages.ts'
import { call } from '#shared/bus/call.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { Rule } from '#shared/contracts/metrics/alert-parts.ts'
import { onChange } from '#shared/db/cache/changes.ts'
import { every } from '#shared/runtime/repeat.ts'
import type { Fleet } from '../collect/fleet.ts'
import type { Leases } from '../collect/leases.ts'
import { createPump } from '../outlets/pump.ts'
import { createBook } from './book.ts'
import { addBuiltInRules } from './built-in.ts'
import { evaluate } from './evaluate.ts'
import { createMeasuring } from './measure.ts'
import { alertRecords, silenceRecords } from './models.ts'
import { subjectsOf } from './scope.ts'
import { useSubjects } from './try.ts'

const turnMs = 10_000
const sweepMs = 3_600_000
const keptMs = 90 * 86_400_000
const leaseName = 'alerts'

/** The members of the resource pools that rules name, read again after this time. Milliseconds. */
const poolsFreshMs = 30_000

function createPools() {
  let readAt = -Infinity
  let members = new Map<string, Set<string>>()
  return async (isNeeded: boolean) => {
    if (isNeeded && performance.now() - readAt > poolsFreshMs) {
      const pools = await allPages((page) => call(resourcePools, 'list', page))
      const namesIn = (pool: (typeof pools)[number]) => new Set(pool.members.map(({ kind, id }) => `${kind} ${id}`))
      members = new Map(pools.map((pool) => [pool.id, namesIn(pool)]))
      readAt = performance.now()
    }
    return (kind: string, id: string, pools: readonly string[]) =>
      pools.some((pool) => members.get(pool)?.has(`${kind} ${id}`) === true)
  }
}

/** Judges the rules and sends the messages, in the one replica that has the lease. @returns a function that stops it */
export function startAlerts(fleet: Fleet, leases: Leases): () => Promise<void> {
  const book = createBook()
  const pump = createPump()
  const measuring = createMeasuring()
  const poolsOf = createPools()
  let hadLease = false
  let hasWaiting = true

  useSubjects(async (rule) => {
    await fleet.refresh()
    return subjectsOf(rule, fleet, await poolsOf(rule.scope.resource_pools.length > 0))
  })

  const turn = async () => {
    if (!fleet.isKnown()) return
    const hasLease = await leases.hold(leaseName)
    // Another replica may have changed the alerts meanwhile.
    if (hasLease && !hadLease) {
      await addBuiltInRules()
      book.forget()
      hasWaiting = true
    }
    hadLease = hasLease
    if (!hasLease) return
    const current = await book.current()
    const isInPools = await poolsOf(current.rules.some(({ scope }) => scope.resource_pools.length > 0))
    const judged = new Map(current.rules.map((rule) => [rule.id, subjectsOf(rule, fleet, isInPools)]))
    measuring.begin(new Set([...judged.values()].flat().map(({ subject }) => subject)))
    const now = Date.now()
    const isWaiting = await evaluate(current, {
      now,
      subjectsOf: ({ id }: Rule) => judged.get(id) ?? [],
      valueOf: ({ condition }, subject) => measuring.valueOf(condition, subject, now),
    })
    if (isWaiting || hasWaiting) hasWaiting = await pump.run()
  }

  const sweep = async () => {
    if (!leases.isHeld(leaseName)) return
    await alertRecords.removeWhere({
      phase: 'resolved',
      resolved_at: { $lt: new Date(Date.now() - keptMs).toISOString() },
    })
    await silenceRecords.removeWhere({ ends_at: { $lt: new Date(Date.now() - keptMs).toISOString() } })
  }

  const ends = [
    book.stop,
    // A message that is to be sent again waits without a change of the alert's state.
    onChange((name) => {
      if (name === alertRecords.name) hasWaiting = true
    }),
    every(turnMs, turn, { part: 'alerts', failed: 'the rules of alerts could not be judged' }),
    every(sweepMs, sweep, { part: 'alerts', failed: 'old alerts could not be deleted' }),
  ]
  return async () => {
    for (const end of ends) end()
    await pump.idle()
  }
}
