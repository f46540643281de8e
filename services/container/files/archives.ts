import { PassThrough, Readable } from 'node:stream'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { containerStreams } from '#shared/contracts/container/streams.ts'
import { invalid, type Violation } from '#shared/errors.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { Images } from '../drivers/parts.ts'
import { imageAt, imagesOf, requireImage, visibleTo } from '../images/find.ts'
import { namedNow, restoreNames } from '../images/names.ts'
import { apiPathOf, containerRecords } from '../model.ts'
import { requireManaged, requireStatus, settle } from '../state/settle.ts'
import { beginStream, givingStream, takingStream } from './stream.ts'
import { isArchive, kindBytes } from './kinds.ts'

type Streams = typeof containerStreams
type Opened = Result<Streams, 'openExport'>

/** Begins to read a whole container. It may run: files that it writes meanwhile are in the archive as they were read. */
export async function openExport({ id }: { id: string }, call: Call): Promise<Opened> {
  requireManaged(await containerRecords.require(id), 'export')
  const container = await settle(id)
  requireStatus(container, 'export', ['running', 'stopped', 'paused'])
  const process = givingStream(await driverOf(container).export(container))
  return beginStream(process, call, {
    kind: 'container_exec',
    path: apiPathOf(id),
    action: 'export',
    message: 'export',
  })
}

export async function openImageExport({ id }: { id: string }, call: Call): Promise<Opened> {
  const { image, place } = await requireImage(id, visibleTo(call))
  const process = givingStream(await imagesOf(image.runtime).export(place.reached, image.engine_id))
  const told = { kind: 'container_exec', path: `/api/images/${id}`, action: 'exportImage' } as const
  return beginStream(process, call, { ...told, message: image.tags[0] ?? image.engine_id })
}

type Asked = Params<Streams, 'openImageUpload'>

/** Passes an archive on, once its first bytes are those of one: some engines make an image of anything. */
async function* checkedBytes(input: Readable): AsyncGenerator<Buffer> {
  let first = Buffer.alloc(0)
  let isChecked = false
  for await (const part of input as AsyncIterable<Buffer>) {
    if (isChecked) {
      yield part
      continue
    }
    first = Buffer.concat([first, part])
    if (first.length < kindBytes) continue
    requireArchive(first)
    isChecked = true
    yield first
  }
  if (!isChecked) requireArchive(first)
}

function requireArchive(first: Buffer): void {
  if (!isArchive(first)) throw invalid('body', 'must be a tar archive, compressed or not')
}

/** Loads an archive. @returns the image as JSON */
async function load(images: Images, reached: Reached, asked: Asked, input: PassThrough, abort: AbortController) {
  const { runtime, kind, bytes } = asked
  const name = asked.name === undefined ? null : images.nameOf(asked.name)
  const before = name === null ? {} : await namedNow(images, reached, [name])
  let refused: unknown
  const checked = async function* () {
    try {
      yield* checkedBytes(input)
    } catch (error) {
      refused = error
      // An engine waits for the rest.
      abort.abort()
      throw error
    }
  }
  try {
    const archive = { source: Readable.from(checked(), { objectMode: false }), bytes }
    const engineId = await images.load(reached, kind, archive, name, {
      signal: abort.signal,
      progress: () => undefined,
    })
    return JSON.stringify(await imageAt({ reached, runtime }, engineId))
  } catch (error) {
    await restoreNames(images, reached, before).catch(() => undefined)
    throw refused ?? error
  } finally {
    input.destroy()
  }
}

/** Begins to make an image of an archive that is sent, as fast as the engine takes it. Its output is the image. */
export async function openImageUpload(asked: Asked, call: Call): Promise<Opened> {
  const { node, runtime, kind } = asked
  const violations: Violation[] = []
  const images = await checking('runtime', violations, async () => imagesOf(runtime))
  const reached = await checking('node', violations, () => reach(node))
  if (kind === 'rootfs' && asked.name === undefined)
    violations.push({ field: 'name', code: 'required', message: 'is required: such an archive has no name' })
  throwAll(violations)
  const input = new PassThrough()
  input.on('error', () => undefined)
  const abort = new AbortController()
  const process = takingStream({
    input,
    close: () => {
      abort.abort()
      input.destroy()
    },
    end: () => load(images!, reached!, asked, input, abort),
  })
  const told = { kind: 'container_config_changed', path: '/api/images', action: 'uploadImage' } as const
  return beginStream(process, call, { ...told, message: asked.name ?? kind })
}
