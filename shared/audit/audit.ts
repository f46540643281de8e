import { hash } from 'node:crypto'
import { Type } from 'typebox'
import { v7 } from 'uuid'
import { type Caller, subjectOf } from '#shared/access/access.ts'
import type { AuditEntry } from '#shared/contracts/core/audit.ts'
import { strict } from '#shared/contracts/common.ts'
import type { Touched } from '#shared/runtime/request-context.ts'
import { inStore } from '#shared/db/connect.ts'
import { modelOf } from '#shared/db/model.ts'
import { now } from '#shared/events/event.ts'

export type { AuditEntry }

/**
 * Where every service leaves its records; the audit service takes them from here into the chain. What was written
 * together is one document, and its records are JSON: they are looked at only once, on their way into the chain.
 */
export const auditInbox = modelOf('audit_inbox', strict({ id: Type.String(), entries: Type.String() }), [], {
  tells: false,
})

type Given = Pick<AuditEntry, 'kind' | 'path' | 'action' | 'result' | 'request_id'> &
  Partial<Pick<AuditEntry, 'id' | 'operation_id' | 'message' | 'severity' | 'before_hash' | 'after_hash'>> & {
    caller: Caller
    /** When it is not the caller. */ user?: string
  }

/**
 * Writes a record of what was done, tried or refused. It is durable when this returns, so that nothing is answered
 * that is not on record; it needs neither the bus nor the audit service.
 */
export function recordAudit({ id = v7(), caller, user, ...given }: Given): Promise<void> {
  const entry = {
    id,
    time: now(),
    user: user ?? subjectOf(caller),
    address: caller.address ?? null,
    severity: given.result === 'denied' ? ('warning' as const) : ('info' as const),
    operation_id: null,
    before_hash: null,
    after_hash: null,
    message: null,
    ...given,
  }
  return new Promise((resolve, reject) => {
    waiting.push({ entry, resolve, reject })
    void writeWaiting()
  })
}

/**
 * What was changed, before and after, as hashes: so that it can be proven later which state somebody left, without the
 * state being in the audit. One record's is the SHA-256 of its JSON with all names in order; of several it is that of all their names and hashes.
 */
export function hashesOf(touched: Touched = new Map()): Pick<AuditEntry, 'before_hash' | 'after_hash'> {
  const changes = [...touched].toSorted(([a], [b]) => (a < b ? -1 : 1))
  const hashOf = (side: 'before' | 'after') => {
    const hashes = changes.map(([name, change]) => [name, change[side]] as const)
    if (hashes.every(([, one]) => one === null)) return null
    return hashes.length === 1 ? hashes[0]![1] : hash('sha256', JSON.stringify(hashes), 'hex')
  }
  return { before_hash: hashOf('before'), after_hash: hashOf('after') }
}

type Waiting = { entry: AuditEntry; resolve: () => void; reject: (error: unknown) => void }
const waiting: Waiting[] = []
let isWriting = false
const batchSize = 500

/** What comes while a write is under way goes together in the next one, so that each write to the disk serves many. */
async function writeWaiting(): Promise<void> {
  if (isWriting) return
  isWriting = true
  try {
    while (waiting.length > 0) await write(waiting.splice(0, batchSize))
  } finally {
    isWriting = false
  }
}

async function write(batch: Waiting[]): Promise<void> {
  const document = { _id: v7(), entries: JSON.stringify(batch.map(({ entry }) => entry)) }
  try {
    // The driver's own: there is nothing here for a model to cast.
    await inStore(() => auditInbox.collection.insertOne(document as never))
    for (const { resolve } of batch) resolve()
  } catch (error) {
    for (const { reject } of batch) reject(error)
  }
}
