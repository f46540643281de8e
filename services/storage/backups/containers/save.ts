import { setTimeout as delay } from 'node:timers/promises'
import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import { containerArchives } from '#shared/contracts/container/container-archives.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import type { SavedPlace } from '#shared/contracts/container/saved-container.ts'
import type { Backup } from '#shared/contracts/storage/backups.ts'
import type { containerBackups } from '#shared/contracts/storage/container-backups.ts'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { idOfSeed, newId } from '#shared/ids.ts'
import { findEntry } from '#shared/operation/entries.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { waitForEnd } from '#shared/operation/wait.ts'
import { backupRecords, viewOf } from '../model.ts'
import { throttle } from '../nbd/throttle.ts'
import { type Beginning, holdId, recordBegin, shareStore } from '../save/begin.ts'
import { removeManifests } from '../save/manifests.ts'
import { partsOf } from '../save/parts.ts'
import { type ContainerManifest, keyOfManifest, type ManifestArchive, writeManifest } from '../store/manifest.ts'
import { openStore, openStored } from '../store/open-store.ts'
import { UnreadableArchiveError } from './entries.ts'
import { readContainer } from './read-container.ts'
import { saveArchive } from './save-archive.ts'
import { withoutSecrets } from './secrets.ts'

/** The stored input of a backup of a container. */
export type Saving = Beginning & { container: string; name: string; pause: boolean }
type Given = Omit<Params<typeof containerBackups, 'create'>, 'id'> & { id?: string | undefined; job?: string }
type Described = Result<typeof containerArchives, 'describe'>
type Saved = Omit<ManifestArchive, 'chunks' | 'chunk_sizes' | 'index_chunks'> & {
  new_bytes: number
  stored_bytes: number
}

const MiB = 2 ** 20

const describe = (id: string): Promise<Described> => call(containerArchives, 'describe', { id }, { isQuestion: true })

async function planSave(given: Given, { hold, share }: Pick<Accepting, 'hold' | 'share'>): Promise<Saving> {
  const { id = newId(), container_id, pool, description, job = null, pause, bandwidth_mib } = given
  await holdId(id, hold)
  const { container } = await describe(container_id)
  await shareStore(pool, share)
  return {
    backup: id,
    container: container_id,
    name: container.name,
    node: container.node,
    pool,
    job,
    description,
    protected: given.protected,
    pause,
    bandwidthMib: bandwidth_mib ?? null,
  }
}

const record = (saving: Saving): Promise<void> =>
  recordBegin(saving, {
    kind: 'container',
    vm_id: null,
    vm_name: null,
    container_id: saving.container,
    container_name: saving.name,
  })

type Begun = { taken_at: string; status: Described['container']['status']; places: SavedPlace[] }

/** Describes the container in the parts of the backup. In a store in clear, the values of its own variables are left out. */
async function begin({ backup, container: id, pool }: Saving): Promise<Begun> {
  const [described, objects] = [await describe(id), await openStore(pool)]
  const isEncrypted = objects.encryption.keyId !== null
  const container = isEncrypted ? described.container : withoutSecrets(described.container)
  await partsOf(objects, backup).write('container', { ...described, container })
  return { taken_at: now(), status: container.status, places: described.places }
}

async function saveOne(op: Op, saving: Saving, place: SavedPlace, before: number): Promise<Saved> {
  const { backup, container, pool, bandwidthMib } = saving
  const objects = await openStore(pool)
  const { signal } = op
  const pace = throttle(bandwidthMib === null ? undefined : bandwidthMib * MiB, signal)
  const onProgress = (done: number) => op.progress(before + done, null, 'bytes')
  try {
    const source = readContainer(container, place.id, signal)
    const { chunks, chunk_sizes, index_chunks, healed_chunks, ...saved } = await saveArchive(objects, source, {
      signal,
      pace,
      onProgress,
    })
    if (healed_chunks > 0) op.log(`${healed_chunks} damaged chunks of the store were written again`)
    await partsOf(objects, backup).write(`archive-${place.id}`, { chunks, chunk_sizes, index_chunks })
    return { ...place, ...saved }
  } catch (error) {
    if (!(error instanceof UnreadableArchiveError)) throw error
    throw new ConflictError(
      `The files of container '${container}' in ${place.target} could not be read: ${error.message}`,
      {
        cause: error,
      },
    )
  }
}

/** Writes the manifest: from then on there is a backup. */
async function commit(saving: Saving, { taken_at }: Begun, saved: Saved[], paused: boolean) {
  const { backup, pool, description } = saving
  const objects = await openStore(pool)
  const parts = partsOf(objects, backup)
  const { container, left_out } = (await parts.read('container')) as Described
  const archives: ManifestArchive[] = []
  for (const { new_bytes: _, stored_bytes: _s, ...archive } of saved) {
    const lists = (await parts.read(`archive-${archive.id}`)) as Pick<
      ManifestArchive,
      'chunks' | 'chunk_sizes' | 'index_chunks'
    >
    archives.push({ ...archive, ...lists })
  }
  const common = { format: 1, chunk_bytes: 4 * MiB, id: backup, node: saving.node, description, taken_at } as const
  const manifest: ContainerManifest = { ...common, kind: 'container', container, paused, left_out, archives }
  const manifest_sha256 = await writeManifest(objects, manifest)
  await parts.remove()
  const env_saved = container.env_names.every((name) => name in container.env)
  const { runtime, image, status } = container
  return {
    manifest: keyOfManifest(manifest),
    manifest_sha256,
    content: { runtime, image, status, env_saved, left_out },
  }
}

const resumeTries = 10

/**
 * Lets the container run on; one that is gone, or runs, is fine. Another operation may hold it for a moment.
 * @throws UnavailableError when it is still paused
 */
async function resume(container: string, attempt: string): Promise<void> {
  for (let tried = 1; tried <= resumeTries; tried++) {
    const operationId = idOfSeed(`${attempt}/${tried}`, 'resume')
    try {
      await call(containers, 'resume', { id: container }, { operationId })
      await waitForEnd(operationId)
      if ((await call(containers, 'get', { id: container }, { isQuestion: true })).status !== 'paused') return
    } catch (error) {
      if (error instanceof NotFoundError) return
      // It is held, or it is off by now.
      if (!(error instanceof ConflictError)) throw error
      if ((await describe(container)).container.status !== 'paused') return
    }
    await delay(1000)
  }
  throw new UnavailableError(`Container '${container}' is still paused after its backup: resume it`)
}

async function runSave(op: Op, saving: Saving): Promise<Backup> {
  const { backup, container, pool, pause } = saving
  const of = { backup_id: backup, vm_id: null, container_id: container }
  await op.step('recording', () => record(saving), {
    undo: async () => {
      if ((await backupRecords.removeWhere({ _id: backup })) === 0) return
      const error = (await findEntry(op.id))?.failure?.message ?? null
      op.emit(event('BackupFailed', { ...of, error, timestamp: now() }))
    },
  })
  const begun = await op.step('describing', () => begin(saving), {
    undo: async () => partsOf(await openStored(pool), backup).remove(),
  })
  const isPaused = pause && begun.status === 'running'
  if (isPaused)
    await op.child(
      containers,
      'pause',
      { id: container },
      { name: 'pausing', undo: () => resume(container, `${op.id}/undo`) },
    )
  const saved: Saved[] = []
  let before = 0
  for (const place of begun.places) {
    const done = await op.step(`saving ${place.id}`, () => saveOne(op, saving, place, before))
    saved.push(done)
    before += done.size_bytes
  }
  const paused = begun.status === 'paused' || isPaused
  const isStill =
    paused && (await op.step('looking again', async () => (await describe(container)).container.status)) === 'paused'
  if (isPaused) await op.step('resuming', () => resume(container, `${op.id}/end`))
  const committed = await op.step('writing manifest', () => commit(saving, begun, saved, isStill), {
    undo: async () => removeManifests(await openStored(pool), container, backup),
  })
  await op.commit()
  await op.step('recording result', async () => {
    const { content, ...manifest } = committed
    const sum = (field: 'size_bytes' | 'new_bytes' | 'stored_bytes') =>
      saved.reduce((all, each) => all + each[field], 0)
    const archives = saved.map(({ new_bytes: _, stored_bytes: _s, ...archive }) => archive)
    const set = {
      ...manifest,
      state: 'ready' as const,
      taken_at: begun.taken_at,
      container: { ...content, paused: isStill, archives },
      size_bytes: sum('size_bytes'),
      data_bytes: sum('size_bytes'),
      new_bytes: sum('new_bytes'),
      stored_bytes: sum('stored_bytes'),
    }
    const told = { ...of, stored_bytes: set.stored_bytes, timestamp: now() }
    await backupRecords.updateWhere(
      { _id: backup, state: 'creating' },
      { set, events: [event('BackupCompleted', told)] },
    )
  })
  return viewOf(await backupRecords.require(backup))
}

/** Backs up a container for a job, whose rights were checked when it was made. */
export const createFor = operation({
  accept: ({ bandwidth_mib, ...given }: Params<typeof containerBackups, 'createFor'>, accepting) => {
    const limit = bandwidth_mib === null ? {} : { bandwidth_mib }
    return planSave({ ...given, ...limit, description: '', protected: false, pause: false }, accepting)
  },
  run: runSave,
})

export const create = operation({
  accept: async (given: Params<typeof containerBackups, 'create'>, accepting) => {
    requireRight(accepting, 'DatastoreAllocate', `/api/storage/pools/${encodeURIComponent(given.pool)}`)
    return planSave(given, accepting)
  },
  run: runSave,
})
