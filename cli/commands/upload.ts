import { createReadStream, statSync } from 'node:fs'
import { basename } from 'node:path'
import { isSet, type Parsed, textOf } from '../arguments/parse.ts'
import { CommandError, exitCodes, usageError } from '../errors.ts'
import { open } from '../http/request.ts'
import { failureOf } from '../http/failures.ts'
import type { Target } from '../http/target.ts'
import { actionOf } from '../manifest/manifest.ts'
import { isOperationBody, waitFor } from '../operations/wait.ts'
import { sizeText } from '../output/cells.ts'
import { write } from '../output/print.ts'
import { progressBar } from '../output/progress.ts'
import { targetFrom } from '../actions/options.ts'
import { send } from '../actions/send.ts'

type Upload = { id: string; pool: string; name: string; received_bytes: number; size_bytes: number; state: string }

/** Bytes of one request: a cut loses at most so much. */
const chunkBytes = 32 * 1024 * 1024

/** Uploads a disk image. An upload of the same file that was cut goes on where it ended. */
export async function upload(
  parsed: Parsed,
  file: string,
  { pool, volume }: { pool: string; volume: string },
): Promise<number> {
  const name = volume || basename(file).replace(/\.\w+$/, '')
  const target = targetFrom(parsed)
  const sent = await sendFile(target, { pool, name, file, isQuiet: isSet(parsed, 'quiet'), options: optionsOf(parsed) })
  const path = { id: sent.pool, upload: sent.id }
  const { body } = await send(target, actionOf('uploads', 'complete'), path, { headers: { prefer: 'wait=1' } })
  if (!isOperationBody(body)) throw new CommandError('the server answered no operation')
  await waitFor(target, body, { isQuiet: isSet(parsed, 'quiet') })
  await write(`${pool}:${name}: ${sizeText(sent.size_bytes)} uploaded\n`)
  return exitCodes.done
}

type File = { pool: string; name: string; file: string; isQuiet: boolean; options?: Record<string, unknown> }

/** Sends a file whole. An upload of the same file that was cut goes on where it ended. */
export async function sendFile(target: Target, { pool, name, file, isQuiet, options }: File): Promise<Upload> {
  const size = statSync(file, { throwIfNoEntry: false })?.size
  if (!size) throw usageError(`${file} does not exist, or is empty`)
  const sent =
    (await unfinished(target, pool, name, size)) ?? (await begun(target, { id: pool, name, size, ...options }))
  await sendBytes(target, sent, file, isQuiet)
  return sent
}

const optionsOf = (parsed: Parsed) =>
  Object.fromEntries(
    ['format', 'volume-format', 'sha256', 'disk'].flatMap((flag) => {
      const value = textOf(parsed, flag)
      return value === undefined ? [] : [[flag.replaceAll('-', '_'), value]]
    }),
  )

async function unfinished(target: Target, pool: string, name: string, size: number): Promise<Upload | undefined> {
  const { body } = await send<{ data: Upload[] }>(target, actionOf('uploads', 'list'), {
    id: pool,
    filter: `name:${name},state:receiving`,
  })
  return body.data.find((one) => one.size_bytes === size)
}

async function begun(target: Target, values: Record<string, unknown>): Promise<Upload> {
  return (await send<Upload>(target, actionOf('uploads', 'create'), values)).body
}

/** Sends the file from where the server has it, with progress. */
async function sendBytes(target: Target, upload: Upload, file: string, isQuiet: boolean): Promise<void> {
  const bar = progressBar({ isQuiet })
  let offset = upload.received_bytes
  try {
    while (offset < upload.size_bytes) {
      const end = Math.min(offset + chunkBytes, upload.size_bytes)
      const chunks: Buffer[] = []
      for await (const chunk of createReadStream(file, { start: offset, end: end - 1 })) chunks.push(chunk as Buffer)
      const path = `/storage/pools/${encodeURIComponent(upload.pool)}/uploads/${upload.id}?offset=${offset}`
      const headers = { 'content-type': 'application/octet-stream' }
      const message = await open(target, {
        method: 'PATCH',
        path,
        body: Buffer.concat(chunks),
        headers,
        timeoutMs: 600_000,
      })
      const parts: Buffer[] = []
      for await (const part of message) parts.push(part as Buffer)
      const body = JSON.parse(Buffer.concat(parts).toString('utf8')) as Upload
      if (message.statusCode !== 200)
        throw failureOf(message.statusCode ?? 0, body as object, { target, method: 'PATCH', path })
      offset = body.received_bytes
      const percent = (100 * offset) / upload.size_bytes
      bar.show({
        id: upload.id,
        kind: `upload ${upload.name}`,
        state: 'running',
        stage: null,
        progress: { done: offset, total: upload.size_bytes, unit: 'bytes', percent },
        version: 0,
        error: null,
      })
    }
  } finally {
    bar.clear()
  }
}
