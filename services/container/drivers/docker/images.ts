import { Readable } from 'node:stream'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { DockerApi } from '#shared/nodes/docker/client.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { Archive, Credentials, Images, ListedImage, Watching } from '../parts.ts'
import { readWhole } from './files.ts'
import { unlessGone } from './gone.ts'

/** Time in which an engine has unpacked an archive. Milliseconds. */
const loadWithinMs = 600_000

/** A line of the engine's answer to a pull or an import (Docker API, ImageCreate). */
type Line = {
  id?: string
  status?: string
  stream?: string
  error?: string
  errorDetail?: { message?: string }
  progressDetail?: { current?: number; total?: number }
}

/** The parts of a name that the API wants apart: `registry:5000/name`, and a tag or a digest. */
export function partsOf(name: string): { repository: string; tag: string } {
  const digest = name.indexOf('@')
  if (digest >= 0) return { repository: partsOf(name.slice(0, digest)).repository, tag: name.slice(digest + 1) }
  const colon = name.lastIndexOf(':')
  if (colon < 0 || name.indexOf('/', colon) >= 0) return { repository: name, tag: 'latest' }
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1) }
}

/** Counts the bytes of all layers that are known, or the layers themselves where the engine tells no bytes. */
export function layerProgress(): (line: Line) => Parameters<Watching['progress']> | null {
  const layers = new Map<string, { done: number; total: number; isDone: boolean }>()
  return ({ id, status, progressDetail: { current = 0, total = 0 } = {} }) => {
    if (id === undefined || status === undefined || status.startsWith('Pulling from')) return null
    const layer = layers.get(id) ?? { done: 0, total: 0, isDone: false }
    layers.set(id, layer)
    if (status === 'Downloading' && total > 0) Object.assign(layer, { done: current, total })
    if (['Download complete', 'Pull complete', 'Already exists'].includes(status))
      Object.assign(layer, { done: layer.total, isDone: true })
    const all = [...layers.values()]
    const sum = (key: 'done' | 'total') => all.reduce((before, one) => before + one[key], 0)
    if (sum('total') > 0) return [sum('done'), sum('total'), 'bytes']
    return [all.filter(({ isDone }) => isDone).length, all.length, 'steps']
  }
}

/** The lines of a stream. Unlike readline it ends, with an error, when the stream is destroyed. */
async function* linesOf(source: Readable): AsyncGenerator<string> {
  let rest = ''
  for await (const part of source as AsyncIterable<Buffer>) {
    const lines = (rest + part.toString('utf8')).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  yield rest
}

/** Reads an answer to its end. @throws ConflictError with the engine's words, which may come after a status of 200 */
async function readLines(api: DockerApi, source: Readable, heard: (line: Line) => void): Promise<void> {
  for await (const text of linesOf(source)) {
    if (text.trim() === '') continue
    // Lines of this API are objects.
    const line = JSON.parse(text) as Line
    const failed = line.errorDetail?.message ?? line.error
    if (failed !== undefined) throw new ConflictError(`${api.name}: ${failed}`)
    heard(line)
  }
}

/**
 * The header with the credentials for a registry (Docker API, "Authentication"): Base64 for URLs with its padding, without
 * which the engine takes it for none.
 */
function authOf({ username, password }: Credentials, name: string): Record<string, string> {
  const serveraddress = name.includes('/') ? name.split('/')[0] : ''
  const text = Buffer.from(JSON.stringify({ username, password, serveraddress })).toString('base64')
  return { 'X-Registry-Auth': text.replaceAll('+', '-').replaceAll('/', '_') }
}

const bare = (id: string) => id.replace(/^sha256:/, '')

/** Gives an archive to the engine, and reads its answer. */
async function give(
  api: DockerApi,
  path: string,
  { source, bytes }: Archive,
  how: Watching,
  heard: (line: Line) => void,
) {
  const content = { source: counted(source, bytes, how), bytes, type: 'application/x-tar' }
  const request = { method: 'POST', path, content, signal: how.signal, answerWithinMs: loadWithinMs } as const
  const { socket } = await api.stream(request)
  await readLines(api, socket, heard)
}

const find = async (api: DockerApi, name: string): Promise<string | null> =>
  (await unlessGone(api.ask((docker) => docker.getImage(name).inspect())))?.Id ?? null

const need = async (api: DockerApi, name: string): Promise<string> => {
  const id = await find(api, name)
  if (id === null) throw new NotFoundError(`${api.name} does not have the image '${name}' that it has made`)
  return id
}

/** Makes an image of a root file system. @param changes settings, each a line of a Dockerfile (Docker API, ImageCreate) */
export async function loadRootfs(
  api: DockerApi,
  archive: Archive,
  name: string,
  changes: string[],
  how: Watching,
): Promise<string> {
  const { repository, tag } = partsOf(name)
  const query = new URLSearchParams({ fromSrc: '-', repo: repository, tag })
  for (const change of changes) query.append('changes', change)
  await give(api, `/images/create?${query.toString()}`, archive, how, () => undefined)
  return need(api, name)
}

/** @param apiOf the API of the engine of a node */
export function dockerImages(apiOf: (reached: Reached) => Promise<DockerApi>): Images {
  const giveName = async (api: DockerApi, id: string, name: string) => {
    const { repository: repo, tag } = partsOf(name)
    await api.change((docker) => docker.getImage(id).tag({ repo, tag }))
  }

  const takeName = async (api: DockerApi, name: string) => {
    await unlessGone(api.change((docker) => docker.getImage(name).remove()))
  }

  return {
    // Without a tag an engine would pull all of them.
    nameOf: (name) => (/[:@][^/]+$/.test(name) ? name : `${name}:latest`),
    list: async (reached) => {
      const api = await apiOf(reached)
      const [all, containers] = await Promise.all([
        api.ask((docker) => docker.listImages()),
        api.ask((docker) => docker.listContainers({ all: true })),
      ])
      const users = Map.groupBy(containers, ({ ImageID }) => bare(ImageID))
      return all.map(({ Id, RepoTags, Size, Created }): ListedImage => ({
        engine_id: Id,
        tags: (RepoTags ?? []).filter((name) => !name.startsWith('<none>')),
        size_bytes: Size,
        created_at: new Date(Created * 1000).toISOString(),
        users: (users.get(bare(Id)) ?? []).map((container) => container.Id),
      }))
    },
    find: async (reached, name) => find(await apiOf(reached), name),
    remove: async (reached, engineId) => {
      const api = await apiOf(reached)
      const image = await unlessGone(api.ask((docker) => docker.getImage(engineId).inspect()))
      // An image with several names is not removed by its id.
      for (const name of image?.RepoTags ?? []) await takeName(api, name)
      await unlessGone(api.change((docker) => docker.getImage(engineId).remove()))
    },
    tag: async (reached, engineId, name) => giveName(await apiOf(reached), engineId, name),
    untag: async (reached, name) => {
      await takeName(await apiOf(reached), name).catch((error: unknown) => {
        // A container is made of it by now.
        if (!(error instanceof ConflictError)) throw error
      })
    },
    namesIn: namesInArchive,
    load: async (reached, kind, archive, name, how) => {
      const api = await apiOf(reached)
      if (kind === 'rootfs') return loadRootfs(api, archive, name ?? '', [], how)
      const loaded: string[] = []
      await give(api, '/images/load?quiet=1', archive, how, ({ stream }) => {
        for (const [, found] of (stream ?? '').matchAll(/Loaded image(?:\(s\))?(?: ID)?: (.+)/g))
          loaded.push(...found!.split(',').map((one) => one.trim()))
      })
      const id = await need(api, loaded[0] ?? name ?? '')
      if (name !== null) await giveName(api, id, name)
      return id
    },
    export: async (reached, engineId) => {
      const api = await apiOf(reached)
      const { RepoTags } = await api.ask((docker) => docker.getImage(engineId).inspect())
      // By a name the archive has it too.
      const [name = engineId] = RepoTags ?? []
      return readWhole(api, `/images/${encodeURIComponent(name)}/get`)
    },
    pullsFrom: 'registry',
    pull: async (reached, name, { credentials }, { signal, progress }) => {
      const api = await apiOf(reached)
      const { repository, tag } = partsOf(name)
      const query = new URLSearchParams({ fromImage: repository, tag }).toString()
      const headers = credentials === null ? {} : authOf(credentials, name)
      const request = { method: 'POST', path: `/images/create?${query}`, headers, signal } as const
      // The engine answers when the registry does.
      const { socket } = await api.stream({ ...request, answerWithinMs: loadWithinMs })
      const count = layerProgress()
      await readLines(api, socket, (line) => {
        const now = count(line)
        if (now) progress(...now)
      })
      signal.throwIfAborted()
      return need(api, name)
    },
  }
}

/** Passes the bytes of an archive on and tells how many they were. */
function counted(source: Readable, total: number, { progress }: Watching): Readable {
  async function* all(): AsyncGenerator<Buffer> {
    let done = 0
    for await (const part of source as AsyncIterable<Buffer>) {
      progress((done += part.length), total, 'bytes')
      yield part
    }
  }
  return Readable.from(all())
}

/** The names in an archive of images (Docker image specification: `manifest.json`). */
async function namesInArchive({ host }: Reached, path: string): Promise<string[] | null> {
  const words = ['--extract', '--to-stdout', `--file=${path}`, 'manifest.json']
  const { code, stdout } = await host.run('tar', words)
  if (code !== 0) return null
  try {
    const all = JSON.parse(stdout) as { RepoTags?: string[] | null }[]
    return all.flatMap(({ RepoTags }) => RepoTags ?? [])
  } catch {
    return null
  }
}
