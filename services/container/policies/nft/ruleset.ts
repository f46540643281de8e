import type { Direction } from '#shared/contracts/container/network-policies.ts'
import { type Family, familyOf } from '../addresses.ts'
import { appliesTo, isolating, scopeOf } from '../isolation.ts'
import { everyScope, labelIndex, labelledIndex } from '../label-index.ts'
import { type Endpoint, type Policy, scopesOf, type World } from '../world.ts'
import { type Journal, journal, type Tables } from './journal.ts'
import { type Chain, chainOf, type Group, setOf } from './lines.ts'
import { elementsOf } from './members.ts'

/** Changes of policies and endpoints, by id; null removes. */
export type Changes = {
  policies?: ReadonlyMap<string, Policy | null>
  endpoints?: ReadonlyMap<string, Endpoint | null>
}

/**
 * The rules of one node. `update` compiles only those parts that a change concerns, so that its cost does not grow with the
 * number of endpoints, and answers the keys that have changed.
 */
export type Ruleset = { tables: Tables; update: (changes: Changes) => Journal }

type UsedGroup = { group: Group; uses: number; of: Map<string, { family: Family; text: string }[]> }

/** The chains of an endpoint, in the directions in which it is isolated. */
type Compiled = { [D in Direction]?: Chain }

/** Chains that every ruleset has: for the other direction of an isolated address, and for a disputed one. */
const open = 'open'
const disputed = 'disputed'
const directions: readonly Direction[] = ['Ingress', 'Egress']
const mapOf = (direction: Direction, address: string) => `${direction === 'Egress' ? 'out' : 'in'}${familyOf(address)}`

export function rulesetOf(scopes: World['scopes']): Ruleset {
  const tables: Tables = { chains: new Map(), sets: new Map(), maps: new Map(), counters: new Map() }
  const policies = new Map<string, Policy>()
  const endpoints = new Map<string, Endpoint>()
  const holders = new Map<string, Set<Endpoint>>()
  const bySelector = labelIndex<Policy>()
  const byLabels = labelledIndex<Endpoint>()
  const groups = new Map<string, UsedGroup>()
  const groupsBySelector = labelIndex<UsedGroup>()
  const compiled = new Map<string, Compiled>()
  const chainUses = new Map<string, number>()
  const counterUses = new Map<string, number>()
  let touched = journal(tables)

  const isDisputed = (address: string) => (holders.get(address)?.size ?? 0) > 1
  const undisputed = ({ addresses }: Endpoint) => addresses.filter((address) => !isDisputed(address))
  /** Scope and selector of each peer of a group: where endpoints that may fit are found. */
  const keysOf = ({ scope, peers }: Group) =>
    peers.length === 0 || peers.some(({ ip_block }) => ip_block)
      ? [{ scope: everyScope, selector: {} }]
      : peers.map(({ pod_selector, namespace_selector }) => ({
          scope: namespace_selector ? everyScope : scope,
          selector: pod_selector ?? {},
        }))

  const setElements = (used: UsedGroup, endpoint: Endpoint, now: { family: Family; text: string }[]) => {
    const before = used.of.get(endpoint.id) ?? []
    for (const { family, text } of before) touched.setElement(setOf(used.group.name, family), text, false)
    for (const { family, text } of now) touched.setElement(setOf(used.group.name, family), text, true)
    if (now.length > 0) used.of.set(endpoint.id, now)
    else used.of.delete(endpoint.id)
  }
  const join = (used: UsedGroup, endpoint: Endpoint) =>
    setElements(used, endpoint, elementsOf(used.group, endpoint, undisputed(endpoint), scopes))

  const useGroup = (group: Group) => {
    const known = groups.get(group.name)
    if (known) return void known.uses++
    const made: UsedGroup = { group, uses: 1, of: new Map() }
    groups.set(group.name, made)
    for (const family of [4, 6] as const)
      touched.set(setOf(group.name, family), { family, hasPorts: group.named !== null })
    for (const { scope, selector } of keysOf(group)) {
      groupsBySelector.add(scope, selector, made)
      for (const endpoint of byLabels.candidates(scope, selector)) if (!made.of.has(endpoint.id)) join(made, endpoint)
    }
  }
  const dropGroup = ({ name }: Group) => {
    const known = groups.get(name)!
    if (--known.uses > 0) return
    groups.delete(name)
    for (const { scope, selector } of keysOf(known.group)) groupsBySelector.remove(scope, selector, known)
    for (const family of [4, 6] as const) touched.set(setOf(name, family), null)
  }
  const count = (uses: Map<string, number>, key: string, by: 1 | -1) => {
    const now = (uses.get(key) ?? 0) + by
    if (now > 0) uses.set(key, now)
    else uses.delete(key)
    return now
  }
  const useChain = (chain: Chain) => {
    if (count(chainUses, chain.name, 1) > 1) return
    chain.groups.forEach(useGroup)
    for (const name of chain.counters) if (count(counterUses, name, 1) === 1) touched.counter(name, true)
    touched.chain(chain.name, chain.lines)
  }
  const dropChain = (chain: Chain) => {
    if (count(chainUses, chain.name, -1) > 0) return
    chain.groups.forEach(dropGroup)
    for (const name of chain.counters) if (count(counterUses, name, -1) === 0) touched.counter(name, false)
    touched.chain(chain.name, null)
  }

  const isolatingOf = (endpoint: Endpoint, direction: Direction): Policy[] => {
    if (!endpoint.isLocal) return []
    const candidates = [...bySelector.candidates(scopesOf(endpoint), endpoint.labels)]
    return isolating(
      candidates.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      endpoint,
      direction,
    )
  }

  /** Compiles the chains of an endpoint anew; `addresses` are those that it has, or had. */
  const compile = (endpoint: Endpoint, addresses: Iterable<string> = endpoint.addresses) => {
    const before = compiled.get(endpoint.id)
    const now: Compiled = {}
    for (const direction of directions) {
      const by = isolatingOf(endpoint, direction)
      if (by.length > 0) useChain((now[direction] = chainOf(by, direction, endpoint)))
    }
    for (const chain of Object.values(before ?? {})) dropChain(chain)
    if (Object.keys(now).length > 0) compiled.set(endpoint.id, now)
    else compiled.delete(endpoint.id)
    for (const address of addresses) place(address)
  }

  /** Writes the elements of an address. Of two endpoints with one address either may be isolated, so both are. */
  const place = (address: string) => {
    const all = [...(holders.get(address) ?? [])].map(({ id }) => compiled.get(id) ?? {})
    const isIsolated = all.some((one) => Object.keys(one).length > 0)
    for (const direction of directions) {
      const chains = all.flatMap((one) => one[direction] ?? [])
      const target = chains.length === 0 ? open : all.length > 1 ? disputed : chains[0]!.name
      touched.place(mapOf(direction, address), address, isIsolated ? target : null)
    }
  }

  const leave = (endpoint: Endpoint) => {
    for (const used of groupsBySelector.candidates([everyScope, ...scopesOf(endpoint)], endpoint.labels))
      setElements(used, endpoint, [])
  }
  const enter = (endpoint: Endpoint) => {
    for (const used of groupsBySelector.candidates([everyScope, ...scopesOf(endpoint)], endpoint.labels))
      join(used, endpoint)
  }

  /** Takes an endpoint in, out or exchanges it. @returns the endpoints to compile anew: also those that share an address */
  const exchange = (id: string, next: Endpoint | null): Endpoint[] => {
    const before = endpoints.get(id)
    const addresses = new Set([...(before?.addresses ?? []), ...(next?.addresses ?? [])])
    const shared = new Set([...addresses].flatMap((address) => [...(holders.get(address) ?? [])]))
    if (before) {
      leave(before)
      byLabels.remove(scopesOf(before), before.labels, before)
      for (const address of before.addresses) {
        holders.get(address)?.delete(before)
        if (holders.get(address)?.size === 0) holders.delete(address)
      }
      endpoints.delete(id)
      shared.delete(before)
    }
    if (next) {
      endpoints.set(id, next)
      byLabels.add(scopesOf(next), next.labels, next)
      for (const address of next.addresses) holders.set(address, (holders.get(address) ?? new Set()).add(next))
      enter(next)
    }
    for (const other of shared) {
      leave(other)
      enter(other)
    }
    return [...shared]
  }

  const concerned = (policy: Policy): Endpoint[] =>
    [...byLabels.candidates(scopeOf(policy), policy.pod_selector ?? {})].filter((endpoint) =>
      appliesTo(policy, endpoint),
    )

  /** Takes a policy in, out or exchanges it. @returns the endpoints that it concerns, or did */
  const exchangePolicy = (id: string, next: Policy | null): Endpoint[] => {
    const before = policies.get(id)
    if (before) bySelector.remove(scopeOf(before), before.pod_selector ?? {}, before)
    policies.delete(id)
    if (next) {
      policies.set(id, next)
      bySelector.add(scopeOf(next), next.pod_selector ?? {}, next)
    }
    return [before, next].flatMap((policy) => (policy ? concerned(policy) : []))
  }

  const update = (changes: Changes): Journal => {
    touched = journal(tables)
    const again = new Set<string>()
    /** Endpoints as they were, with the addresses that they had. */
    const left = new Map<string, Endpoint>()
    for (const [id, next] of changes.policies ?? []) for (const { id: of } of exchangePolicy(id, next)) again.add(of)
    for (const [id, next] of changes.endpoints ?? []) {
      const before = endpoints.get(id)
      if (before) left.set(id, before)
      for (const other of exchange(id, next)) again.add(other.id)
      if (next) again.add(id)
    }
    for (const [id, before] of left) if (!endpoints.has(id)) compile({ ...before, isLocal: false })
    for (const id of again) {
      const endpoint = endpoints.get(id)
      if (endpoint) compile(endpoint, new Set([...endpoint.addresses, ...(left.get(id)?.addresses ?? [])]))
    }
    return touched
  }
  return { tables, update }
}
