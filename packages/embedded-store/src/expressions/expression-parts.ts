import { type Doc, toNumber, typeName } from '../values/bson.ts'

export type Compute = (doc: Doc) => unknown

/** Compiles an operator; `compile` is for the expressions in its argument. */
export type Operator = (argument: unknown, compile: (expression: unknown) => Compute) => Compute

export const listOf = (argument: unknown): unknown[] => (Array.isArray(argument) ? (argument as unknown[]) : [argument])

/** What each comparison makes of the order of its two values. */
export const COMPARISONS: Record<string, (order: number) => unknown> = {
  $eq: (order) => order === 0,
  $ne: (order) => order !== 0,
  $gt: (order) => order > 0,
  $gte: (order) => order >= 0,
  $lt: (order) => order < 0,
  $lte: (order) => order <= 0,
  $cmp: (order) => Math.sign(order),
}

/** An operator that gets the values of all of its arguments. */
export const on =
  (apply: (...values: unknown[]) => unknown): Operator =>
  (argument, compile) => {
    const computes = listOf(argument).map(compile)
    return (doc) => apply(...computes.map((compute) => compute(doc)))
  }

export const isNothing = (value: unknown): boolean => value === undefined || value === null

export const nameOf = (value: unknown): string => (value === undefined ? 'missing' : typeName(value))

export const isTrue = (value: unknown): boolean => value !== false && !isNothing(value) && toNumber(value) !== 0
