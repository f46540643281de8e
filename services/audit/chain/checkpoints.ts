import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { KeyObject } from 'node:crypto'
import { config } from '#shared/config/config.ts'
import type { Checkpoint } from '#shared/contracts/core/audit.ts'
import { insertIfNew } from '#shared/db/guarded.ts'
import { readFirst, readMany } from '#shared/db/read.ts'
import { now } from '#shared/events/event.ts'
import { log } from '#shared/runtime/log.ts'
import { type End, endOfChain } from './chain.ts'
import { checkpoints } from '../models.ts'
import { publicKeyOf, signCheckpoint, signingKeyFrom } from './signing.ts'

let key: KeyObject | undefined

export function signingKey(): KeyObject {
  const { secretKey } = config()
  if (!secretKey) throw new Error('HORCRUX_SECRET_KEY is not set')
  return (key ??= signingKeyFrom(secretKey))
}
export const publicKey = () => publicKeyOf(signingKey())

const idOf = (seq: number, cut: boolean) => `${String(seq).padStart(16, '0')}${cut ? '-cut' : ''}`

/** Signs the hash of the chain at this record. `cut`: retention removed the records before it. */
export async function makeCheckpoint({ seq, hash }: End, { cut = false } = {}): Promise<Checkpoint> {
  const checkpoint = signCheckpoint({ type: 'checkpoint', seq, hash, time: now() }, signingKey())
  const { type: _, ...stored } = checkpoint
  await insertIfNew(checkpoints, { _id: idOf(seq, cut), ...stored, cut })
  return checkpoint
}

type StoredCheckpoint = Omit<Checkpoint, 'type'>

export async function checkpointsBetween(from: number, to: number): Promise<Checkpoint[]> {
  const filter = { seq: { $gte: from, $lte: to }, cut: false }
  const stored = await readMany<StoredCheckpoint>(checkpoints, filter, { sort: { seq: 1 } })
  return stored.map(({ seq, hash, time, signature }) => ({ type: 'checkpoint', seq, hash, time, signature }))
}

/** The signed cut of the last retention run; null if the chain is complete. */
export async function lastCut(): Promise<Checkpoint | null> {
  const found = await readFirst<StoredCheckpoint>(checkpoints, { cut: true }, { sort: { seq: -1 } })
  return found
    ? { type: 'checkpoint', seq: found.seq, hash: found.hash, time: found.time, signature: found.signature }
    : null
}

const everyRecords = 1000
export const checkpointEveryMs = 60_000
let last = { seq: -1, at: 0 }

/** Makes a checkpoint at the end of the chain if the last one is a thousand records or a minute old. */
export async function checkpointWhenDue(): Promise<void> {
  const isLongAgo = Date.now() - last.at > checkpointEveryMs
  const end = await endOfChain()
  if (end.seq === 0 || end.seq === last.seq || (!isLongAgo && end.seq - last.seq < everyRecords)) return
  last = { seq: end.seq, at: Date.now() }
  await makeCheckpoint(end)
  await writeAnchor(end)
}

const anchorFile = () => join(config().dataDir, 'audit', 'anchor.json')

/** The anchor lies outside the store, so that a store restored to an earlier day is detected. */
async function writeAnchor(end: End): Promise<void> {
  try {
    const file = anchorFile()
    await mkdir(join(config().dataDir, 'audit'), { recursive: true, mode: 0o700 })
    await writeFile(`${file}.new`, JSON.stringify(end), { mode: 0o600 })
    await rename(`${file}.new`, file)
  } catch (error) {
    log('audit').warn({ err: error }, 'the anchor of the audit chain could not be written')
  }
}

/** The last end of the chain that is recorded in the data folder. */
export async function readAnchor(): Promise<End | null> {
  try {
    return JSON.parse(await readFile(anchorFile(), 'utf8')) as End
  } catch {
    return null
  }
}
