import { type Static, Type } from 'typebox'
import { isValid } from '#shared/contract/validate.ts'
import { Time } from '#shared/contracts/common.ts'
import type { Objects } from '../store/objects.ts'
import { DamagedPack } from '../store/pack.ts'
import { NotFoundError } from '#shared/errors.ts'

/** Chunks are read by the first byte of their ids, so that a chunk stays in its part when a garbage collection moves it. */
export const partCount = 256
export const partOf = (chunk: string): number => Number.parseInt(chunk.slice(0, 2), 16)

const Run = Type.Integer({ minimum: 0 })

/** The parts of a store that were read. Runs are numbered, because clocks of replicas differ. */
export const Ledger = Type.Object({
  run: Run,
  at: Type.Union([Time, Type.Null()], { description: 'The begin of the last run' }),
  parts: Type.Array(Type.Object({ run: Run, at: Type.Union([Time, Type.Null()]) }), {
    minItems: partCount,
    maxItems: partCount,
  }),
  since: Type.Record(Type.String(), Run, {
    description: 'The first run that found all chunks of a manifest in the store, or found it whole again',
  }),
})
export type Ledger = Static<typeof Ledger>

export const noLedger = (): Ledger => ({
  run: 0,
  at: null,
  parts: Array.from({ length: partCount }, () => ({ run: 0, at: null })),
  since: {},
})

const key = 'proofs.json'
const dayMs = 86_400_000

/** Reads the ledger of a store. One that is lost or damaged begins anew: everything is read again. */
export async function readLedger(objects: Objects): Promise<Ledger> {
  try {
    const ledger: unknown = JSON.parse((await objects.get(key)).toString('utf8'))
    // It was checked just now.
    return isValid(Ledger, ledger) ? (ledger as Ledger) : noLedger()
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof SyntaxError || error instanceof DamagedPack)
      return noLedger()
    throw error
  }
}

export const writeLedger = (objects: Objects, ledger: Ledger): Promise<void> =>
  objects.put(key, Buffer.from(`${JSON.stringify(ledger)}\n`))

/**
 * Decides which parts a run reads: those that were not read for longest, as many as the days since the last run are of the
 * days that everything takes. The first run counts as one day.
 */
export function duePartsOf({ at, parts }: Ledger, days: number, nowMs: number): number[] {
  const passedDays = at === null ? 1 : Math.max(0, nowMs - Date.parse(at)) / dayMs
  // A minute early is no reason to read nothing.
  const count = days === 1 ? partCount : Math.min(partCount, Math.round((partCount * passedDays) / days))
  return parts
    .map(({ run }, part) => ({ run, part }))
    .toSorted((a, b) => a.run - b.run || a.part - b.part)
    .slice(0, count)
    .map(({ part }) => part)
}

/** Begins a run: its number, and the manifests that are there before it reads. Those that are gone are dropped. */
export function beginRun(ledger: Ledger, manifests: readonly string[], at: string): Ledger {
  const run = ledger.run + 1
  const since = Object.fromEntries(manifests.map((manifest) => [manifest, ledger.since[manifest] ?? run]))
  return { ...ledger, run, at, since }
}

/** Notes the parts that a run has read. */
export function noteParts(ledger: Ledger, read: readonly number[]): Ledger {
  const isRead = new Set(read)
  const { run, at } = ledger
  return { ...ledger, parts: ledger.parts.map((part, index) => (isRead.has(index) ? { run, at } : part)) }
}

/**
 * The time of the verification of a backup: that of the earliest of its parts.
 * @returns null while one of them was not read since the backup was there
 */
export function provenAt({ at, parts, since }: Ledger, manifest: string, chunks: Iterable<string>): string | null {
  const first = since[manifest]
  if (first === undefined) return null
  let proven: { run: number; at: string | null } | null = null
  for (const number of new Set([...chunks].map(partOf))) {
    const part = parts[number]!
    if (part.run < first) return null
    if (proven === null || part.run < proven.run) proven = part
  }
  // A backup of empty disks has no chunks.
  return proven === null ? at : proven.at
}
