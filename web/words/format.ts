import { language } from './words.ts'

const formats = new Map<string, Intl.NumberFormat>()
function numberFormat(digits: number, unit = ''): Intl.NumberFormat {
  const key = `${language.value} ${digits} ${unit}`
  const known = formats.get(key)
  if (known) return known
  const made = new Intl.NumberFormat(language.value, {
    maximumFractionDigits: digits,
    ...(unit && { style: 'unit', unit }),
  })
  formats.set(key, made)
  return made
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** Bytes in the largest binary unit that leaves at least 1, with one digit after the point below 100. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  let left = value
  let unit = 0
  while (Math.abs(left) >= 1024 && unit < units.length - 1) {
    left /= 1024
    unit++
  }
  return `${numberFormat(unit === 0 || left >= 100 ? 0 : 1).format(left)} ${units[unit]}`
}
export const mib = (value: number | null | undefined) =>
  value === null || value === undefined ? '–' : bytes(value * 1024 * 1024)
export const count = (value: number) => numberFormat(0).format(value)
export const decimal = (value: number | null | undefined, digits = 1) =>
  value === null || value === undefined ? '–' : numberFormat(digits).format(value)
export const percent = (value: number | null | undefined) =>
  value === null || value === undefined ? '–' : `${numberFormat(value < 10 ? 1 : 0).format(value)} %`

export function time(value: string | null | undefined): string {
  if (!value) return '–'
  const format = new Intl.DateTimeFormat(language.value, { dateStyle: 'medium', timeStyle: 'medium' })
  return format.format(new Date(value))
}

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]
/** The distance of a time from now, such as "3 minutes ago". */
export function ago(value: string | number | null | undefined, now = Date.now()): string {
  if (!value) return '–'
  const seconds = (new Date(value).getTime() - now) / 1000
  const [unit, size] = steps.find(([, each]) => Math.abs(seconds) >= each) ?? ['second', 1]
  return new Intl.RelativeTimeFormat(language.value, { numeric: 'auto' }).format(Math.trunc(seconds / size), unit)
}

/** A length of time in the two largest units that it has: 95 → "1 min 35 s". */
export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  if (value < 60) return `${numberFormat(value < 10 ? 1 : 0).format(value)} s`
  const whole = Math.round(value)
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}
