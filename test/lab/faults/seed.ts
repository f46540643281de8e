import { createHash } from 'node:crypto'

/** `TORTURE=1` takes everything; `TORTURE=2/5` the second of five parts of it, which together are everything. */
const torture = process.env['TORTURE']
export const isTorture = torture !== undefined
const [part = 1, parts = 1] = torture?.includes('/') ? torture.split('/').map(Number) : []

/** The run's seed for one suite; `SEED` repeats a run. Printed, so that a failure can be repeated. */
export function seedOf(suite: string): string {
  const seed = process.env['SEED'] ?? String(Date.now() % 100_000)
  const much = !isTorture ? 'a sample' : parts > 1 ? `part ${part} of ${parts}` : 'everything'
  process.stdout.write(`${suite}: SEED=${seed}, ${much}\n`)
  return seed
}

const rank = (seed: string, item: unknown) =>
  createHash('sha256')
    .update(`${seed}/${JSON.stringify(item)}`)
    .digest('hex')

/** So many of the items, chosen by the seed; under `TORTURE` all of them, or those of its part. */
export function sample<T>(items: T[], seed: string, count: number): T[] {
  if (isTorture) return items.filter((_, index) => index % parts === part - 1)
  return items.toSorted((a, b) => rank(seed, a).localeCompare(rank(seed, b))).slice(0, count)
}

/** How many of a number of things are to be done: so many in a sample, else all of them, or a part. */
export const amount = ({ sample: few, all }: { sample: number; all: number }): number =>
  isTorture ? Math.ceil(all / parts) : few

/** Numbers from 0 to below 1 that follow from the seed, for schedules that can be repeated. */
export function randomOf(seed: string): () => number {
  let count = 0
  return () => createHash('sha256').update(`${seed}/${count++}`).digest().readUInt32BE(0) / 2 ** 32
}
