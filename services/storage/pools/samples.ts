import { Type } from 'typebox'
import { Id, Time, Version } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'
import { now } from '#shared/events/event.ts'
import { every } from '#shared/runtime/repeat.ts'
import { poolRecords } from '../models.ts'
import type { Sample } from './forecast.ts'
import { measure } from './measure.ts'

const everyMs = 10 * 60_000
/** Two days. */
const most = 288

/** Free bytes of storage pools over time, for forecasts; one document for each storage pool. */
const sampleRecords = collection(
  'pool_samples',
  Type.Object({
    id: Id,
    samples: Type.Array(Type.Object({ at: Time, available: Type.Record(Type.String(), Type.Number()) })),
    version: Version,
  }),
  { kind: 'Samples of storage pool' },
)

export const samplesOf = async (id: string): Promise<Sample[]> => (await sampleRecords.get(id))?.samples ?? []

export const forgetSamples = (id: string): Promise<unknown> => sampleRecords.removeWhere({ _id: id })

/** Adds a sample, unless another replica has just added one. */
export async function addSample(id: string, sample: Sample): Promise<void> {
  const there = await sampleRecords.get(id)
  if (!there) {
    await sampleRecords.insert({ id, samples: [sample] })
    return
  }
  const last = there.samples.at(-1)
  if (last && Date.parse(sample.at) - Date.parse(last.at) < everyMs / 2) return
  const samples = [...there.samples, sample].slice(-most)
  await sampleRecords.updateWhere({ _id: id, version: there.version }, { set: { samples } })
}

async function sampleAll(): Promise<void> {
  for (const pool of await poolRecords.all({ state: 'active' })) {
    const { fills, health } = await measure(pool)
    if (['ok', 'low', 'degraded'].includes(health))
      await addSample(pool.id, {
        at: now(),
        available: Object.fromEntries(fills.map(({ name, available_bytes }) => [name, available_bytes])),
      })
  }
}

/** @returns a function that stops it */
export const watchUsage = (): (() => void) =>
  every(everyMs, sampleAll, { part: 'pools', failed: 'the usage of storage pools could not be sampled' })
