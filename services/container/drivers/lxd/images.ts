import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pack } from 'tar-stream'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import type { LxdKind } from '#shared/nodes/lxd/engine.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { Archive, ArchiveKind, Images, ListedImage, Watching } from '../parts.ts'
import { exportImage } from './archives.ts'
import { instancesOf, unlessGone } from './find.ts'
import { download } from './pull.ts'

/** The fields of an image that Horcrux reads (LXD and Incus, "REST API": GET /1.0/images). */
type Image = {
  fingerprint: string
  type: string
  size: number
  uploaded_at: string
  aliases: { name: string }[] | null
}

const aliasPath = (name: string) => `/1.0/images/aliases/${encodeURIComponent(name)}`
const imagePath = (fingerprint: string) => `/1.0/images/${encodeURIComponent(fingerprint)}`

/** The fingerprint of the image that an alias or a fingerprint means, or null. */
export async function fingerprintOf(api: Api, image: string): Promise<string | null> {
  const alias = await unlessGone(api.get<{ target: string }>(aliasPath(image)))
  if (alias) return alias.target
  const found = /^[0-9a-f]{12,64}$/.test(image)
    ? await unlessGone(api.get<{ fingerprint: string }>(imagePath(image)))
    : null
  return found?.fingerprint ?? null
}

/** True for an image that has a name, or is gone. */
export async function isUsedElsewhere(api: Api, fingerprint: string): Promise<boolean> {
  const image = await unlessGone(api.get<Image>(imagePath(fingerprint)))
  return image === null || (image.aliases ?? []).length > 0
}

/** Containers by the fingerprint of the image that they were made of. */
async function usersOf(api: Api): Promise<Map<string, string[]>> {
  const users = new Map<string, string[]>()
  for (const { config } of await instancesOf(api)) {
    const [base, uuid] = [config['volatile.base_image'], config['volatile.uuid']]
    if (base && uuid) users.set(base, [...(users.get(base) ?? []), uuid])
  }
  return users
}

/** The first part of an image of two files: the description, as a tar archive of its own. */
async function metadataTar(architecture: string): Promise<Buffer> {
  const archive = pack()
  // JSON is YAML.
  const text = JSON.stringify({ architecture, creation_date: 1, properties: { description: 'imported by Horcrux' } })
  archive.entry({ name: 'metadata.yaml', mtime: new Date(0) }, text)
  archive.finalize()
  const parts: Buffer[] = []
  for await (const part of archive as AsyncIterable<Buffer>) parts.push(part)
  return Buffer.concat(parts)
}

type Body = { source: Readable; bytes: number; headers: Record<string, string>; fingerprint: () => string }

/** Passes bytes on, counts them, and makes the fingerprint: the SHA-256 of all files of the image, one after the other. */
function passed(first: Buffer, { source, bytes }: Archive, { progress }: Watching) {
  const hash = createHash('sha256').update(first)
  let done = 0
  async function* all(): AsyncGenerator<Buffer> {
    for await (const part of source as AsyncIterable<Buffer>) {
      hash.update(part)
      done += part.length
      progress(done, bytes, 'bytes')
      yield part
    }
  }
  return { all, fingerprint: () => hash.digest('hex') }
}

function unifiedBody(archive: Archive, how: Watching): Body {
  const { all, fingerprint } = passed(Buffer.alloc(0), archive, how)
  const headers = { 'content-type': 'application/octet-stream' }
  return { source: Readable.from(all()), bytes: archive.bytes, headers, fingerprint }
}

/** A form of two files: metadata, and the root file system. */
async function splitBody(archive: Archive, architecture: string, how: Watching): Promise<Body> {
  const metadata = await metadataTar(architecture)
  const boundary = `horcrux${createHash('sha256').update(metadata).digest('hex').slice(0, 32)}`
  const head = (field: string) =>
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${field}"; filename="${field}.tar"\r\nContent-Type: application/octet-stream\r\n\r\n`,
    )
  const end = Buffer.from(`\r\n--${boundary}--\r\n`)
  const before = Buffer.concat([head('metadata'), metadata, Buffer.from('\r\n'), head('rootfs')])
  const { all, fingerprint } = passed(metadata, archive, how)
  async function* form(): AsyncGenerator<Buffer> {
    yield before
    yield* all()
    yield end
  }
  return {
    source: Readable.from(form()),
    bytes: before.length + archive.bytes + end.length,
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    fingerprint,
  }
}

async function load(api: Api, kind: ArchiveKind, archive: Archive, how: Watching): Promise<string> {
  const { environment } = await api.get<{ environment: { architectures: string[] } }>('/1.0')
  const body =
    kind === 'image'
      ? unifiedBody(archive, how)
      : await splitBody(archive, environment.architectures[0] ?? 'x86_64', how)
  const { source, bytes, headers } = body
  try {
    await api.upload('/1.0/images', { source, headers: { ...headers, 'content-length': String(bytes) } }, how.signal)
  } catch (error) {
    if (!(error instanceof ConflictError) || !/same fingerprint already exists/i.test(error.message)) throw error
  }
  return body.fingerprint()
}

/** @param apiOf the API of the engine of a node */
export function lxdImages(kind: LxdKind, apiOf: (reached: Reached) => Promise<Api>): Images {
  const giveName = async (api: Api, target: string, name: string) => {
    const there = await unlessGone(api.get<{ target: string }>(aliasPath(name)))
    if (there?.target === target) return
    if (there) await unlessGone(api.send('DELETE', aliasPath(name)))
    await api.send('POST', '/1.0/images/aliases', { name, target })
  }

  return {
    nameOf: (name) => name,
    list: async (reached) => {
      const api = await apiOf(reached)
      const [all, users] = await Promise.all([api.get<Image[] | null>('/1.0/images?recursion=1'), usersOf(api)])
      return (all ?? [])
        .filter(({ type }) => type === 'container')
        .map(({ fingerprint, aliases, size, uploaded_at }): ListedImage => ({
          engine_id: fingerprint,
          tags: (aliases ?? []).map(({ name }) => name),
          size_bytes: size,
          created_at: new Date(uploaded_at).toISOString(),
          users: users.get(fingerprint) ?? [],
        }))
    },
    find: async (reached, name) => fingerprintOf(await apiOf(reached), name),
    remove: async (reached, engineId) => {
      const api = await apiOf(reached)
      await unlessGone(api.send('DELETE', imagePath(engineId)))
    },
    tag: async (reached, engineId, name) => giveName(await apiOf(reached), engineId, name),
    untag: async (reached, name) => {
      const api = await apiOf(reached)
      const alias = await unlessGone(api.get<{ target: string }>(aliasPath(name)))
      if (!alias) return
      await unlessGone(api.send('DELETE', aliasPath(name)))
      const image = await unlessGone(api.get<Image>(imagePath(alias.target)))
      const isFree = (image?.aliases ?? []).length === 0 && !(await usersOf(api)).has(alias.target)
      if (image && isFree) await unlessGone(api.send('DELETE', imagePath(alias.target)))
    },
    namesIn: async ({ host }, path) => {
      const { code } = await host.run('tar', ['--list', '--occurrence=1', `--file=${path}`, 'metadata.yaml'])
      return code === 0 ? [] : null
    },
    export: async (reached, engineId) => exportImage(await apiOf(reached), imagePath(engineId)),
    pullsFrom: 'server',
    pull: async (reached, name, { server }, how) => {
      const api = await apiOf(reached)
      const fingerprint = await download({ api, host: reached.host, kind }, name, server!, how)
      await giveName(api, fingerprint, name)
      return fingerprint
    },
    load: async (reached, form, archive, name, how) => {
      const api = await apiOf(reached)
      const fingerprint = await load(api, form, archive, how)
      if (!(await unlessGone(api.get(imagePath(fingerprint)))))
        throw new NotFoundError(`${api.name} does not have the image '${fingerprint}' that it has made`)
      if (name !== null) await giveName(api, fingerprint, name)
      return fingerprint
    },
  }
}
