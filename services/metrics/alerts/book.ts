import type { Silence } from '#shared/contracts/metrics/alert-parts.ts'
import type { Rule } from '#shared/contracts/metrics/alert-parts.ts'
import { onChange } from '#shared/db/cache/changes.ts'
import {
  alertRecords,
  type AlertRecord,
  outletRecords,
  type OutletRecord,
  ruleRecords,
  silenceRecords,
} from './models.ts'

/** Rules, silences, outlets and alerts that are not settled, in memory until a notice says that one has changed. */
export type Book = {
  rules: readonly Rule[]
  silences: readonly Silence[]
  outlets: readonly OutletRecord[]
  /** By rule and subject. */
  active: Map<string, AlertRecord>
}

export const activeKey = (rule: string, subject: string) => `${rule} ${subject}`

/** Notices can be lost while the bus is away. */
const freshMs = 300_000

export function createBook() {
  let isStale = true
  let readAt = -Infinity
  let book: Book = { rules: [], silences: [], outlets: [], active: new Map() }
  const collections = new Set([ruleRecords, silenceRecords, outletRecords].map(({ name }) => name))
  const stop = onChange((name) => {
    if (collections.has(name)) isStale = true
  })
  const read = async () => {
    isStale = false
    const [rules, silences, outlets, active] = await Promise.all([
      ruleRecords.all(),
      silenceRecords.all(),
      outletRecords.all(),
      alertRecords.all({ active: { $gt: '' } }),
    ])
    book = { rules, silences, outlets, active: new Map(active.map((alert) => [alert.active!, alert])) }
    readAt = performance.now()
  }
  return {
    async current(): Promise<Book> {
      if (isStale || performance.now() - readAt > freshMs) await read()
      return book
    },
    /** To be read again: another replica may have changed the alerts. */
    forget: () => (isStale = true),
    stop,
  }
}
