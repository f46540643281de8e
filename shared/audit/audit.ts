import { hash } from 'node:crypto'
import { Type } from 'typebox'
import { v7 } from 'uuid'
import { type Caller, subjectOf } from '#shared/access/access.ts'
import type { AuditEntry } from '#shared/contracts/core/audit.ts'
import { strict } from '#shared/contracts/common.ts'
import type { ChangedRecords } from '#shared/runtime/request-context.ts'
import { inStore } from '#shared/db/connect.ts'
import { modelOf } from '#shared/db/model.ts'
import { now } from '#shared/events/event.ts'

export type { AuditEntry }

/**
 * Inbox of audit records: services write here, the audit service moves the records into the chain. Records of one batch
 * are one document with the records as JSON, which is parsed only once, on the way into the chain.
 */
export const auditInbox = modelOf('audit_inbox', strict({ id: Type.String(), entries: Type.String() }), [])

type Given = Pick<AuditEntry, 'kind' | 'path' | 'action' | 'result' | 'request_id'> &
  Partial<Pick<AuditEntry, 'id' | 'operation_id' | 'message' | 'severity' | 'before_hash' | 'after_hash'>> & {
    caller: Caller
    /** Given if it is not the caller. */ user?: string
  }

/**
 * Writes an audit record of an action that was done, attempted or denied. The record is durable when the promise
 * resolves, so that no answer precedes its record. Needs neither the bus nor the audit service.
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
 * Hashes of the changed records, before and after: they prove a state later without storing that state in the audit.
 * For one record it is the SHA-256 of its JSON with sorted names; for several, the SHA-256 of their names and hashes.
 */
export function hashesOf(touched: ChangedRecords = new Map()): Pick<AuditEntry, 'before_hash' | 'after_hash'> {
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

/** Writes waiting records in batches: records that arrive during a write form the next batch (group commit). */
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
    // Insert by the MongoDB driver: there is nothing for mongoose to cast.
    await inStore(() => auditInbox.collection.insertOne(document as never))
    for (const { resolve } of batch) resolve()
  } catch (error) {
    for (const { reject } of batch) reject(error)
  }
}
