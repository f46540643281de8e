import type { Unit } from './types.ts'

/** The input of a number: the factors of the units that it may carry, as lower-case letters; '' is the number alone. */
type Measure = { word: string; examples: readonly [string, ...string[]]; factors: Record<string, number> }

const KiB = 1024
const MiB = KiB ** 2

/** Bytes of one unit; letters alone are powers of 1024, as `qemu-img` and `lvcreate` take them. */
const bytes: Record<string, number> = Object.fromEntries(
  ['', 'K', 'M', 'G', 'T', 'P'].flatMap((letter, power) => [
    [`${letter}iB`.toLowerCase(), KiB ** power],
    [`${letter}B`.toLowerCase(), 1000 ** power],
    [letter.toLowerCase(), KiB ** power],
  ]),
)
/** Seconds of one unit. */
const times = { ns: 1e-9, ms: 1e-3, s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86_400, w: 604_800 }

/** Factors to a unit, in which a number alone is. */
const per = (factors: Record<string, number>, one: number): Record<string, number> => ({
  ...Object.fromEntries(Object.entries(factors).map(([letters, factor]) => [letters, factor / one])),
  '': 1,
})

/** Input of numbers of each unit. */
export const measures: Record<Unit, Measure> = {
  bytes: { word: 'SIZE', examples: ['20GiB'], factors: per(bytes, 1) },
  MiB: { word: 'SIZE', examples: ['4GiB', '512MiB'], factors: per(bytes, MiB) },
  'bytes/s': { word: 'RATE', examples: ['100MiB/s'], factors: per(bytes, 1) },
  'MiB/s': { word: 'RATE', examples: ['100MiB/s'], factors: per(bytes, MiB) },
  'Mbit/s': { word: 'RATE', examples: ['500Mbit/s'], factors: per({ kbit: 1e3, mbit: 1e6, gbit: 1e9 }, 1e6) },
  nanoseconds: { word: 'TIME', examples: ['5ms'], factors: per(times, 1e-9) },
  milliseconds: { word: 'TIME', examples: ['300ms'], factors: per(times, 1e-3) },
  seconds: { word: 'TIME', examples: ['5m', '90'], factors: per(times, 1) },
  hours: { word: 'TIME', examples: ['36h', '2d'], factors: per(times, 3600) },
  days: { word: 'TIME', examples: ['7d', '2w'], factors: per(times, 86_400) },
  percent: { word: 'PERCENT', examples: ['80'], factors: { '': 1, '%': 1 } },
}

/** `4GiB or 512MiB` */
export const unitExamples = (unit: Unit): string => measures[unit].examples.join(' or ')

/**
 * Reads `1.5GiB`, `100MiB/s` or `80%` as a number of a unit.
 * @returns undefined for text that is no such number
 */
export function amountIn(unit: Unit | undefined, text: string): number | undefined {
  const [, digits, letters = '', perSecond] = /^(-?\d+(?:\.\d+)?)\s*([A-Za-z]*|%)(\/s)?$/.exec(text.trim()) ?? []
  const factor = unit ? measures[unit].factors[letters.toLowerCase()] : letters === '' ? 1 : undefined
  if (digits === undefined || factor === undefined || (perSecond && !unit?.endsWith('/s'))) return undefined
  const amount = Number(digits) * factor
  // Many factors are no exact numbers: 5 s are 5,000,000,000 ns, not 4,999,999,999.9999995.
  return Number.isInteger(amount) ? amount : Number(amount.toPrecision(15))
}
