import { isDeepStrictEqual } from 'node:util'
import type { Host } from '#shared/nodes/host/host.ts'
import { log } from '#shared/runtime/log.ts'
import { byAddress, type Judge, judgeOf } from './judge.ts'
import { type Guarded, guardChangeText, guardText } from './nft/guard.ts'
import { applyText, cut, type Tracked, trackedFlows } from './nft/kernel.ts'
import { hasElements, readShape } from './nft/listing.ts'
import { type Changes, type Ruleset, rulesetOf } from './nft/ruleset.ts'
import { changeText, wholeText } from './nft/text.ts'
import type { Endpoint, Policy, World } from './world.ts'

/** The part of a world that is not an endpoint. */
export type Surroundings = Omit<World, 'endpoints'>

/** The rules of one node in its kernel. Calls run one after the other. */
export type Enforcer = {
  /**
   * Brings policies and endpoints into effect in one transaction, then ends the connections that are no longer allowed. Other
   * scopes write all rules anew.
   */
  change: (changes: Changes, surroundings?: Surroundings) => Promise<Tracked[]>
  /** Writes the rules anew, with other surroundings or none. @returns the connections that it ended */
  rewrite: (surroundings?: Surroundings) => Promise<Tracked[]>
  /** Compares the kernel with the rules, and puts right what others have changed. @returns true when it had to */
  reconcile: (how?: { withElements?: boolean }) => Promise<boolean>
  judge: () => Judge
  /** Removes all rules from the kernel. */
  remove: () => Promise<void>
}

/** Runs work one after the other. */
function inTurn() {
  let last: Promise<unknown> = Promise.resolve()
  return <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work, work)
    last = next.catch(() => {})
    return next
  }
}

export function enforcerOn(host: Host, start: Surroundings): Enforcer {
  const policies = new Map<string, Policy>()
  const endpoints = new Map<string, Endpoint>()
  let surroundings = start
  let rules: Ruleset = rulesetOf(surroundings.scopes)
  /** True while the kernel has the rules as they were before the next change. */
  let isWritten = false
  let guarded: Guarded = new Map()
  let shape: string | null = null
  /** True when a change may concern the guard. */
  let isGuardOld = true
  const turn = inTurn()

  /** Endpoints by address; made anew when an endpoint has changed. */
  let holders: ReturnType<typeof byAddress> | null = null

  const judge = () => {
    const all = [...endpoints.values()]
    holders ??= byAddress(all)
    return judgeOf([...policies.values()], { ...surroundings, endpoints: all }, holders)
  }
  /** Without policies there is no guard: a container may then route for others. */
  const toGuard = (): Guarded =>
    policies.size === 0
      ? new Map()
      : new Map([...endpoints.values()].flatMap(({ nics }) => nics.map((nic) => [nic.port, nic.addresses])))

  const writeWhole = async () => {
    const next = toGuard()
    await applyText(host, wholeText(rules.tables, 'Network policies of Horcrux') + guardText(next))
    guarded = next
    isWritten = true
    shape = null
  }

  const write = async (text: string) => {
    if (!isWritten) return writeWhole()
    const next = isGuardOld ? toGuard() : guarded
    try {
      await applyText(host, text + guardChangeText(guarded, next))
      guarded = next
      shape = null
    } catch (error) {
      // Others may have changed the table: the rules of before still hold, and the whole table replaces them.
      isWritten = false
      log('network-policies').warn(
        { reason: (error as Error).message.slice(0, 200) },
        'the rules of a node are written anew',
      )
      await writeWhole()
    }
  }

  const endForbidden = async (): Promise<Tracked[]> => {
    if (policies.size === 0) return []
    const flows = await trackedFlows(host)
    if (flows.length === 0) return []
    const judged = judge()
    const forbidden = flows.filter((flow) => !judged(flow).allowed)
    await cut(host, forbidden)
    return forbidden
  }

  const writeAnew = async (next: Surroundings): Promise<Tracked[]> => {
    surroundings = next
    rules = rulesetOf(surroundings.scopes)
    rules.update({ policies, endpoints })
    await writeWhole()
    return endForbidden()
  }

  const note = <T>(into: Map<string, T>, changed: ReadonlyMap<string, T | null> | undefined) => {
    for (const [id, next] of changed ?? [])
      if (next) into.set(id, next)
      else into.delete(id)
  }

  return {
    change: (changes, next = surroundings) =>
      turn(async () => {
        const hadPolicies = policies.size > 0
        note(policies, changes.policies)
        note(endpoints, changes.endpoints)
        isGuardOld = hadPolicies !== policies.size > 0 || (changes.endpoints?.size ?? 0) > 0
        if (changes.endpoints && changes.endpoints.size > 0) holders = null
        if (!isDeepStrictEqual(next.scopes, surroundings.scopes)) return writeAnew(next)
        surroundings = next
        const changed = rules.update(changes)
        await write(changeText(changed.differences(), rules.tables))
        return endForbidden()
      }),
    rewrite: (next = surroundings) => turn(() => writeAnew(next)),
    reconcile: ({ withElements = false } = {}) =>
      turn(async () => {
        const found = isWritten ? await readShape(host, rules.tables) : null
        const isSame = found !== null && (shape === null || shape === found)
        shape = found
        if (isSame && (!withElements || (await hasElements(host, rules.tables)))) return false
        await writeWhole()
        await endForbidden()
        return true
      }),
    judge,
    remove: () =>
      turn(async () => {
        isWritten = false
        const tables = ['inet horcrux', 'bridge horcrux']
        await applyText(host, tables.map((name) => `add table ${name}\ndelete table ${name}\n`).join(''))
      }),
  }
}
