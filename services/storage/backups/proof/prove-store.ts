import type { Proof } from '#shared/contracts/storage/backup-proofs.ts'
import type { Result } from '#shared/contract/contract.ts'
import type { backupStores } from '#shared/contracts/storage/backups.ts'
import { NotFoundError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { type BackupRecord, backupRecords } from '../model.ts'
import type { Catalog } from '../store/catalog.ts'
import { readWholeCatalog } from '../store/collect.ts'
import { readManifest } from '../store/manifest.ts'
import type { Objects } from '../store/objects.ts'
import { openStore } from '../store/open-store.ts'
import { DamagedPack } from '../store/pack.ts'
import { chunksOf, named, noteDamage, readAndCompare } from './check.ts'
import { beginRun, duePartsOf, type Ledger, noteParts, partOf, provenAt, readLedger, writeLedger } from './ledger.ts'
import { recordProof } from './record.ts'
import { proofOf } from './verify.ts'

export type ProvingStore = { pool: string; days: number }
type Proven = Result<typeof backupStores, 'prove'>
type Whole = { record: BackupRecord; chunks: Set<string>; error: string | null }

/** The chunks of a backup, or its damage. A manifest that is damaged has none. */
async function chunksOfBackup(objects: Objects, record: BackupRecord): Promise<Whole> {
  try {
    const manifest = await readManifest(objects, record.manifest ?? '', record.manifest_sha256 ?? '')
    return { record, chunks: chunksOf(manifest), error: null }
  } catch (error) {
    if (error instanceof NotFoundError) return { record, chunks: new Set(), error: 'its manifest is gone' }
    if (error instanceof DamagedPack) return { record, chunks: new Set(), error: error.message }
    throw error
  }
}

const damageOf = ({ chunks, error }: Whole, catalog: Catalog, lost: ReadonlyMap<string, string>): string | null => {
  if (error !== null) return error
  const missing = [...chunks].filter((id) => lost.has(id) || !catalog.places.has(id))
  const reason = lost.get(missing[0] ?? '') ?? 'they are in no readable pack'
  return missing.length === 0 ? null : `${missing.length} of its ${chunks.size} chunks are damaged: ${reason}`
}

/** A result that is not older than this one, such as of a caller's verification, stays. */
const isNews = (known: Proof | null, proof: Proof): boolean => known === null || known.at < proof.at

/** Reads a share of the chunks that backups need, and gives each backup its verification. */
async function prove(op: Op, { pool, days }: ProvingStore): Promise<Proven> {
  const objects = await openStore(pool)
  // Before the list of backups, so that each of them was complete before the run began.
  const before = await readLedger(objects)
  const records = await backupRecords.all({ pool, state: 'ready' })
  const begun = beginRun(
    before,
    records.flatMap(({ manifest }) => manifest ?? []),
    now(),
  )
  const { catalog } = await readWholeCatalog(objects)
  const backups: Whole[] = []
  for (const record of records) backups.push(await chunksOfBackup(objects, record))

  const due = duePartsOf(before, days, Date.now())
  const isDue = new Set(due)
  const wanted = new Set(backups.flatMap(({ chunks }) => [...chunks].filter((id) => isDue.has(partOf(id)))))
  const onProgress = (done: number, total: number) => op.progress(done, total, 'steps')
  const unreadable = await readAndCompare(objects, catalog, wanted, { signal: op.signal, onProgress })
  await noteDamage(objects, unreadable)
  const lost = new Map(unreadable.map((each) => [each.chunk, named([each])]))

  let ledger: Ledger = noteParts(begun, due)
  const damaged: string[] = []
  let proven = 0
  for (const whole of backups) {
    const { record } = whole
    const error = damageOf(whole, catalog, lost)
    const at = error === null ? provenAt(ledger, record.manifest ?? '', whole.chunks) : null
    if (error !== null) damaged.push(record.id)
    if (at !== null) proven++
    const proof = error !== null ? proofOf(error) : at !== null ? { at, ok: true, error: null } : null
    if (proof && isNews(record.data, proof)) await recordProof(record.id, { data: proof })
  }
  // One that is healed later is proven once all of it was read again.
  const since = Object.fromEntries(
    Object.entries(ledger.since).filter(
      ([key]) => !records.some((each) => each.manifest === key && damaged.includes(each.id)),
    ),
  )
  ledger = { ...ledger, since }
  // An empty run leaves the time of the last one: the shares of many short intervals add up.
  await writeLedger(objects, due.length > 0 ? ledger : { ...ledger, at: before.at })
  return { read_chunks: wanted.size, damaged_chunks: unreadable.length, proven, damaged }
}

export async function proveStore(op: Op, proving: ProvingStore): Promise<Proven> {
  // A repeated step reads everything again: the ledger is written at the end.
  const { read_chunks, damaged_chunks, proven, damaged } = await op.step('reading', () => prove(op, proving))
  return { read_chunks, damaged_chunks, proven, damaged }
}
