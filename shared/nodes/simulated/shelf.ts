import { DatabaseSync } from 'node:sqlite'
import { requireCurrent } from '#shared/runtime/request-context.ts'

/** A thing of the simulation. `node` is the node or other place that it is in. */
type Thing = { id: string; node: string }

/** The things of one kind, in memory and in a file. Ids are unique in each place. */
export type Shelf<T extends Thing> = {
  get: (node: string, id: string) => T | null
  /** All things, or those of one place. */
  all: (node?: string) => T[]
  /** Adds or replaces a thing. A call that is late changes nothing (ADR 0014). */
  put: (thing: T) => Promise<void>
  /** A thing that is gone is fine. */
  remove: (node: string, id: string) => Promise<void>
  /** Adds many things before any service runs. */
  addAll: (things: readonly T[]) => void
}

export type Shelves = {
  shelf: <T extends Thing>(kind: string) => Shelf<T>
  close: () => void
}

/** Opens the file of a simulation. A crash of the machine may lose the last changes: they are simulated. */
export function openShelves(file: string): Shelves {
  const store = new DatabaseSync(file)
  store.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF')
  store.exec(
    'CREATE TABLE IF NOT EXISTS things (kind TEXT, node TEXT, id TEXT, thing TEXT, PRIMARY KEY (kind, node, id))',
  )
  const select = store.prepare('SELECT thing FROM things WHERE kind = ?')
  const write = store.prepare('INSERT OR REPLACE INTO things VALUES (?, ?, ?, ?)')
  const erase = store.prepare('DELETE FROM things WHERE kind = ? AND node = ? AND id = ?')

  function shelf<T extends Thing>(kind: string): Shelf<T> {
    const byNode = new Map<string, Map<string, T>>()
    const remember = (thing: T) => {
      const ofNode = byNode.get(thing.node) ?? new Map<string, T>()
      byNode.set(thing.node, ofNode.set(thing.id, thing))
    }
    const save = (thing: T) => {
      remember(thing)
      write.run(kind, thing.node, thing.id, JSON.stringify(thing))
    }
    // Written by `save` of an earlier run.
    for (const { thing } of select.all(kind)) remember(JSON.parse(String(thing)) as T)
    return {
      get: (node, id) => byNode.get(node)?.get(id) ?? null,
      all: (node) =>
        node === undefined
          ? [...byNode.values()].flatMap((ofNode) => [...ofNode.values()])
          : [...(byNode.get(node)?.values() ?? [])],
      put: async (thing) => {
        await requireCurrent()
        save(thing)
      },
      remove: async (node, id) => {
        await requireCurrent()
        byNode.get(node)?.delete(id)
        erase.run(kind, node, id)
      },
      addAll: (things) => {
        store.exec('BEGIN')
        for (const thing of things) save(thing)
        store.exec('COMMIT')
      },
    }
  }

  return { shelf, close: () => store.close() }
}
