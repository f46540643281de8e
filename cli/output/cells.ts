import type { Form, Unit } from '../manifest/types.ts'

const steps = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** `4 GiB`: exact if it can be said with at most two digits after the point. */
export function sizeText(bytes: number): string {
  let size = bytes
  let unit = 'B'
  for (const step of steps) {
    if (Math.abs(size) < 1024) break
    size /= 1024
    unit = step
  }
  return `${Number(size.toFixed(2))} ${unit}`
}

/** `2 h 5 min`. */
export function durationText(seconds: number): string {
  if (seconds < 60) return `${Number(seconds.toFixed(1))} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min${seconds % 60 >= 1 ? ` ${Math.floor(seconds % 60)} s` : ''}`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h${minutes % 60 ? ` ${minutes % 60} min` : ''}` : `${Math.floor(hours / 24)} d`
}

const millisecondsText = (value: number) =>
  Math.abs(value) < 1000 ? `${Number(value.toFixed(1))} ms` : durationText(value / 1000)

const unitTexts: Record<Unit, (value: number) => string> = {
  bytes: sizeText,
  MiB: (value) => sizeText(value * 1_048_576),
  'bytes/s': (value) => `${sizeText(value)}/s`,
  'MiB/s': (value) => `${sizeText(value * 1_048_576)}/s`,
  'Mbit/s': (value) => `${value} Mbit/s`,
  nanoseconds: (value) => millisecondsText(value / 1e6),
  milliseconds: millisecondsText,
  seconds: durationText,
  hours: (value) => `${value} h`,
  days: (value) => `${value} d`,
  percent: (value) => `${Number(value.toFixed(1))} %`,
}

/** A value for people: sizes with their unit, lists by commas, nothing as `-`. */
export function cellText(value: unknown, form?: Form): string {
  if (value === null || value === undefined || value === '') return '-'
  if (typeof value === 'number' && form?.unit) return unitTexts[form.unit](value)
  if (typeof value === 'string') return timeText(value)
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map((one) => itemText(one)).join(',')
  return itemText(value)
}

/** One item of a list, in short: the name of an object, or its fields. */
function itemText(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  const object = value as Record<string, unknown>
  const name = object['name'] ?? object['id'] ?? object['username']
  if (typeof name === 'string') return name
  return Object.entries(object)
    .filter(([, one]) => one !== null && typeof one !== 'object')
    .map(([key, one]) => `${key}=${String(one)}`)
    .join(' ')
}

/** Times to the second, in UTC. */
const timeText = (text: string) => text.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/, '$1 $2')
