import { type Doc, toNumber } from '../values/bson.ts'

/** An accumulator of one group: fed with documents, asked for its result, which may be asked for in between. */
export type Accumulator = { add: (doc: Doc) => void; result: () => unknown }

/** Makes the accumulator of a group, given the group's `_id`. */
export type MakeAccumulator = (id: unknown) => Accumulator

/** The number that an accumulator of numbers counts; undefined for what it leaves out. */
export const numeric = (value: unknown): number | undefined => (typeof value === 'object' ? undefined : toNumber(value))
