import type { Family } from '../addresses.ts'

type SetShape = { family: Family; hasPorts: boolean }

/** The part of a table that changes: chains and sets by name, maps from address to chain, counters by name. */
export type Tables = {
  chains: Map<string, readonly string[]>
  sets: Map<string, SetShape & { elements: Set<string> }>
  maps: Map<string, Map<string, string>>
  counters: Map<string, true>
}

type Difference<T> = { before: T | undefined; after: T | undefined }

/** Writes into tables and remembers what each key held before, so that a change is known by its difference. */
export type Journal = {
  chain: (name: string, lines: readonly string[] | null) => void
  counter: (name: string, isThere: boolean) => void
  set: (name: string, shape: SetShape | null) => void
  setElement: (set: string, element: string, isThere: boolean) => void
  place: (map: string, address: string, chain: string | null) => void
  differences: () => Differences
}

export type Differences = {
  chains: { added: string[]; removed: string[] }
  counters: { added: string[]; removed: string[] }
  sets: { added: string[]; removed: string[] }
  /** Elements of sets that were there before and still are. */
  elements: { set: string; added: string[]; removed: string[] }[]
  places: { map: string; added: [string, string][]; removed: string[] }[]
}

/** Remembers the first value of each key. */
function firsts<T>() {
  const seen = new Map<string, T | undefined>()
  return {
    note: (key: string, value: T | undefined) => void (seen.has(key) || seen.set(key, value)),
    compare: (now: (key: string) => T | undefined): (Difference<T> & { key: string })[] =>
      [...seen]
        .map(([key, before]) => ({ key, before, after: now(key) }))
        .filter(({ before, after }) => before !== after),
  }
}

const split = (changed: { key: string; before: unknown; after: unknown }[]) => ({
  added: changed.filter(({ before }) => before === undefined).map(({ key }) => key),
  removed: changed.filter(({ after }) => after === undefined).map(({ key }) => key),
})

type Seen<T> = ReturnType<typeof firsts<T>>
const inside = <T>(all: Map<string, Seen<T>>, key: string): Seen<T> => {
  const known = all.get(key) ?? firsts<T>()
  all.set(key, known)
  return known
}

export function journal(tables: Tables): Journal {
  const chains = firsts<true>()
  const counters = firsts<true>()
  const sets = firsts<true>()
  const elements = new Map<string, Seen<true>>()
  const places = new Map<string, Seen<string>>()
  const has = (map: ReadonlyMap<string, unknown>, key: string) => (map.has(key) ? (true as const) : undefined)
  const isElement = (set: string, element: string) =>
    tables.sets.get(set)?.elements.has(element) ? (true as const) : undefined

  return {
    chain: (name, lines) => {
      chains.note(name, has(tables.chains, name))
      if (lines) tables.chains.set(name, lines)
      else tables.chains.delete(name)
    },
    counter: (name, isThere) => {
      counters.note(name, has(tables.counters, name))
      if (isThere) tables.counters.set(name, true)
      else tables.counters.delete(name)
    },
    set: (name, shape) => {
      sets.note(name, has(tables.sets, name))
      const there = tables.sets.get(name)
      // A set that goes and comes back in one change still has its elements in the kernel.
      for (const element of there?.elements ?? []) inside(elements, name).note(element, true)
      if (shape) tables.sets.set(name, { ...shape, elements: new Set() })
      else tables.sets.delete(name)
    },
    setElement: (set, element, isThere) => {
      inside(elements, set).note(element, isElement(set, element))
      if (isThere) tables.sets.get(set)?.elements.add(element)
      else tables.sets.get(set)?.elements.delete(element)
    },
    place: (map, address, chain) => {
      const there = tables.maps.get(map) ?? new Map<string, string>()
      tables.maps.set(map, there)
      inside(places, map).note(address, there.get(address))
      if (chain === null) there.delete(address)
      else there.set(address, chain)
    },
    differences: () => {
      const ofSets = split(sets.compare((name) => has(tables.sets, name)))
      const stays = (set: string) => tables.sets.has(set) && !ofSets.added.includes(set)
      return {
        chains: split(chains.compare((name) => has(tables.chains, name))),
        counters: split(counters.compare((name) => has(tables.counters, name))),
        sets: ofSets,
        elements: [...elements]
          .filter(([set]) => stays(set))
          .map(([set, seen]) => ({ set, ...split(seen.compare((element) => isElement(set, element))) })),
        places: [...places].map(([map, seen]) => {
          const changed = seen.compare((address) => tables.maps.get(map)?.get(address))
          return {
            map,
            added: changed.flatMap(({ key, after }): [string, string][] => (after === undefined ? [] : [[key, after]])),
            removed: changed.filter(({ before }) => before !== undefined).map(({ key }) => key),
          }
        }),
      }
    },
  }
}
