import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { CommandError } from '#shared/nodes/host/errors.ts'
import type { Host, RunOptions } from '#shared/nodes/host/host.ts'
import { secretFiles, withSecretFiles } from '#shared/nodes/host/secret-files.ts'

export type Config = PoolConfig<'ceph'>

/** Exit codes of `rbd`: the errno of librbd. */
const [noEntry, exists] = [2, 17]
const unreachable = new Set([1, 13, 110])

/** The client's configuration file, with times in seconds. librados does not tell a wrong key from monitors that are away. */
export const clientFile = ({ monitors, user, key }: Pick<Config, 'monitors' | 'user' | 'key'>): string =>
  [
    '[global]',
    `mon host = ${monitors.join(',')}`,
    'auth client required = cephx',
    'client mount timeout = 4',
    'rados mon op timeout = 20',
    'rados osd op timeout = 30',
    'log to stderr = false',
    'admin socket =',
    `[client.${user}]`,
    `key = ${key}`,
    '',
  ].join('\n')

/** Runs a client of Ceph. The key is neither in its arguments nor left in a file. */
function runClient(host: Host, config: Config, program: string, args: string[], options: RunOptions = {}) {
  const words = ['-c', secretFiles[0], '--id', config.user, ...args]
  return withSecretFiles(host, program, words, [clientFile(config)], options)
}

/** The last line of `rbd` on stderr; before it are progress bars. */
const wordsOf = (stderr: string) =>
  stderr
    .trim()
    .split(/[\r\n]+/)
    .at(-1)
    ?.replace(/^.*\.\.\.failed\.\s*/, '')
    .slice(-500) ?? ''

/** @throws NotFoundError, ConflictError with the words of `rbd`, or UnavailableError when the cluster does not answer */
async function checked(host: Host, config: Config, program: string, args: string[], options?: RunOptions) {
  const { code, stdout, stderr } = await runClient(host, config, program, args, options)
  if (code === 0) return stdout
  const cause = new CommandError(program, code, stderr, host.describe())
  const said = `Ceph pool '${config.pool}', asked from ${host.describe()}: ${wordsOf(stderr)}`
  if (code === noEntry) throw new NotFoundError(said, { cause })
  if (unreachable.has(code))
    throw new UnavailableError(`${said}; either the monitors do not answer, or they do not know the user or its key`, {
      cause,
    })
  throw new ConflictError(said, { cause })
}

/** Runs `rbd`. @throws as {@link checked} */
export const rbd = (host: Host, config: Config, args: string[], options?: RunOptions): Promise<string> =>
  checked(host, config, 'rbd', args, options)

/** Runs `ceph`, and reads its answer. */
export const ceph = async <T>(host: Host, config: Config, args: string[]): Promise<T> =>
  // The caller names the fields of the command's JSON that it uses.
  JSON.parse(await checked(host, config, 'ceph', ['--connect-timeout', '10', ...args, '--format', 'json'])) as T

/** Runs `rbd`; a thing that is gone is fine. */
export const unlessGone = (work: Promise<unknown>): Promise<void> =>
  work.then(
    () => undefined,
    (error: unknown) => {
      if (!(error instanceof NotFoundError)) throw error
    },
  )

/** Makes a thing by `rbd`. @returns false when one of that name is there */
export function unlessThere(work: Promise<unknown>): Promise<boolean> {
  return work.then(
    () => true,
    (error: unknown) => {
      const isThere = error instanceof ConflictError && (error.cause as CommandError | undefined)?.code === exists
      if (!isThere) throw error
      return false
    },
  )
}

export const specOf = ({ pool }: Config, image: string, snapshot?: string) =>
  `${pool}/${image}${snapshot === undefined ? '' : `@${snapshot}`}`

export type ImageInfo = {
  id: string
  size: number
  create_timestamp: string
  parent?: { image: string; snapshot: string }
}

/** An image; null when it is not there. */
export async function infoOf(host: Host, config: Config, image: string, snapshot?: string): Promise<ImageInfo | null> {
  const said = await unlessMissing(rbd(host, config, ['info', specOf(config, image, snapshot), '--format', 'json']))
  return said === null ? null : (JSON.parse(said) as ImageInfo)
}

export const namesIn = async (host: Host, config: Config): Promise<string[]> =>
  JSON.parse(await rbd(host, config, ['ls', config.pool, '--format', 'json'])) as string[]

/** `type`: `trash` for one that was deleted while clones read from it. */
export type ImageSnapshot = { name: string; size: number; namespace: { type: string } }

/** The snapshots of an image, with deleted ones that clones still need; none for an image that is gone. */
export async function snapshotsIn(host: Host, config: Config, image: string): Promise<ImageSnapshot[]> {
  const said = await unlessMissing(
    rbd(host, config, ['snap', 'ls', '--all', specOf(config, image), '--format', 'json']),
  )
  return said === null ? [] : (JSON.parse(said) as ImageSnapshot[])
}

/** Metadata of an image; null for none, and for an image that is gone. */
export const metaOf = (host: Host, config: Config, image: string, key: string): Promise<string | null> =>
  unlessMissing(rbd(host, config, ['image-meta', 'get', specOf(config, image), key]))

const unlessMissing = (work: Promise<string>): Promise<string | null> =>
  work.catch((error: unknown) => {
    if (error instanceof NotFoundError) return null
    throw error
  })
