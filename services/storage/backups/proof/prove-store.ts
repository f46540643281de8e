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

type Reading = Proven & { ledger: Ledger; proofs: { backup: string; proof: Proof }[] }

/** Reads a share of the chunks that backups need. @returns the results, which are not recorded yet */
async function read(op: Op, { pool, days }: ProvingStore): Promise<Reading> {
  const objects = await openStore(pool)
  // Before the list of backups, so that each of them was complete before the run began.
  const before = await readLedger(objects)
  const records = await backupRecords.all({ pool, state: 'ready' })
  const manifests = records.flatMap(({ manifest }) => manifest ?? [])
  const { catalog } = await readWholeCatalog(objects)
  const backups: Whole[] = []
  for (const record of records) backups.push(await chunksOfBackup(objects, record))

  const due = duePartsOf(before, days, Date.now())
  const isDue = new Set(due)
  const wanted = new Set(backups.flatMap(({ chunks }) => [...chunks].filter((id) => isDue.has(partOf(id)))))
  const begun = beginRun(before, manifests, now())
  const onProgress = (done: number, total: number) => op.progress(done, total, 'steps')
  const unreadable = await readAndCompare(objects, catalog, wanted, { signal: op.signal, onProgress })
  await noteDamage(objects, unreadable)
  const lost = new Map(unreadable.map((each) => [each.chunk, named([each])]))

  const ledger = noteParts(begun, due)
  const proofs: Reading['proofs'] = []
  const damaged: string[] = []
  let proven = 0
  for (const whole of backups) {
    const { id, manifest, data } = whole.record
    const error = damageOf(whole, catalog, lost)
    const at = error === null ? provenAt(ledger, manifest ?? '', whole.chunks) : null
    if (error !== null) {
      damaged.push(id)
      // One that is healed later counts as whole once all of it was read again.
      delete ledger.since[manifest ?? '']
    }
    if (at !== null) proven++
    const proof = error !== null ? proofOf(error) : at !== null ? { at, ok: true, error: null } : null
    if (proof && isNews(data, proof)) proofs.push({ backup: id, proof })
  }
  // An empty run leaves the time of the last one: the shares of many short intervals add up.
  if (due.length === 0) ledger.at = before.at
  return { read_chunks: wanted.size, damaged_chunks: unreadable.length, proven, damaged, ledger, proofs }
}

export async function proveStore(op: Op, proving: ProvingStore): Promise<Proven> {
  const { ledger, proofs, ...found } = await op.step('reading', () => read(op, proving))
  await op.commit()
  await op.step('recording', async () => {
    await writeLedger(await openStore(proving.pool), ledger)
    for (const { backup, proof } of proofs) await recordProof(backup, { data: proof })
  })
  return found
}
