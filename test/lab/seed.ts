import { createHash } from 'node:crypto'

/** The run's seed for one suite: `SEED` repeats a run, `TORTURE` takes everything. Printed, so that a failure can be repeated. */
export function seedOf(suite: string): string {
  const seed = process.env['SEED'] ?? String(Date.now() % 100_000)
  process.stdout.write(`${suite}: SEED=${seed}${process.env['TORTURE'] ? ', everything' : ', a sample'}\n`)
  return seed
}

const rank = (seed: string, item: unknown) =>
  createHash('sha256')
    .update(`${seed}/${JSON.stringify(item)}`)
    .digest('hex')

/** So many of the items, chosen by the seed; all of them under `TORTURE`. */
export function sample<T>(items: T[], seed: string, count: number): T[] {
  if (process.env['TORTURE']) return items
  return items.toSorted((a, b) => rank(seed, a).localeCompare(rank(seed, b))).slice(0, count)
}
