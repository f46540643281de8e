import { ConflictError, NotFoundError, notFound } from '#shared/errors.ts'
import { markIncomplete, recordingParts, recordings, removeRecordings } from './models.ts'

const maxBytes = 16 * 1_048_576

/** @throws NotFoundError also for a recording of another VM */
export async function recordingOf(vmId: string, id: string) {
  const found = await recordings.get(id)
  if (found?.vm_id !== vmId) throw notFound('Recording', id)
  const { version: _, ...recording } = found
  return recording
}

const full = 'It reached 16 MiB and was stopped there'
const tooFast = 'What was shown came faster than it could be kept: where some is left out, the recording says so'

type Part = { part: number; text: string; lossy: boolean }

/** Adds a part, also when it was added already. @returns false when the recording is full or has gone */
export async function append(id: string, { part, text, lossy }: Part): Promise<boolean> {
  const recording = await recordings.get(id)
  if (!recording || recording.ended_at !== null) return false
  if (lossy && recording.complete) await markIncomplete(id, tooFast)
  if (part < recording.parts) return true
  const size_bytes = recording.size_bytes + Buffer.byteLength(text)
  if (size_bytes > maxBytes) {
    await markIncomplete(id, full)
    return false
  }
  // A part that a lost call has written already is written over with the same.
  await recordingParts.removeWhere({ recording: id, part })
  await recordingParts.insert({ id: `${id}-${part}`, recording: id, part, text })
  return (await recordings.updateWhere({ _id: id, parts: part }, { set: { parts: part + 1, size_bytes } })) !== null
}

export async function partOf(vmId: string, id: string, part: number): Promise<{ text: string }> {
  await recordingOf(vmId, id)
  const found = await recordingParts.find({ recording: id, part })
  if (!found) throw new NotFoundError(`Recording '${id}' has no part ${part}`)
  return { text: found.text }
}

export async function remove(vmId: string, id: string): Promise<null> {
  const { ended_at } = await recordingOf(vmId, id)
  if (ended_at === null) throw new ConflictError(`Recording '${id}' is still being made: close its console first`)
  await removeRecordings({ _id: id })
  return null
}
