import { dirname } from 'node:path'
import { invalid, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { isOfPath } from './errors.ts'

/** Resolves the links of a path whose last parts may not exist yet. */
async function realPath(host: Host, path: string): Promise<string> {
  try {
    return await host.realpath(path)
  } catch (error) {
    if (!(error instanceof NotFoundError) || path === '/') throw error
    const parent = await realPath(host, dirname(path))
    return `${parent === '/' ? '' : parent}/${path.slice(path.lastIndexOf('/') + 1)}`
  }
}

/**
 * Runs file verbs on a path that a caller has named.
 * @throws ValidationError of its field when the path itself is the reason that they fail: too long, links in a circle, no right
 */
export async function onNamedPath<T>(field: string, verbs: () => Promise<T>): Promise<T> {
  try {
    return await verbs()
  } catch (error) {
    if (!isOfPath(error)) throw error
    throw invalid(field, error.message, 'path')
  }
}

/** The real path of an allowed folder; one that cannot be reached holds nothing. */
async function realFolder(host: Host, folder: string): Promise<string> {
  try {
    return await realPath(host, folder)
  } catch (error) {
    if (isOfPath(error)) return folder
    throw error
  }
}

function isInside(path: string, folder: string) {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}

/** Folders of Horcrux itself in a node's folder: secrets, records, and files of single guests. */
const own = [
  'audit',
  'bus',
  'nats',
  'nvram',
  'run',
  'secrets',
  'seeds',
  'serial',
  'shelved',
  'snapshots',
  'stacks',
  'store',
  'tls',
  'uploads',
]

/** PATH_MAX of Linux, less its NUL. */
const maxPathBytes = 4095

/** Advice for a guest that `horcrux tiny-guest` has built for another instance. */
const hintFor = (field: string) =>
  field.startsWith('boot.')
    ? '. `npx horcrux tiny-guest` builds a guest in the folder of the running Horcrux, or of HORCRUX_DATA if it is set; HORCRUX_ALLOWED_PATHS allows more folders on this machine'
    : ''

type Folders = { allowed_paths: string[]; state_dir: string }

/**
 * Resolves a path and requires that it lies in one of the node's allowed folders, outside Horcrux's own. Links are
 * resolved first, so they cannot lead elsewhere.
 * @throws ValidationError naming the folders
 */
export async function allowedPath(
  host: Host,
  path: string,
  { allowed_paths, state_dir }: Folders,
  field: string,
): Promise<string> {
  if (path.split('/').some((part) => part === '..' || part === '.')) throw invalid(field, 'must not contain . or ..')
  if (Buffer.byteLength(path) > maxPathBytes)
    throw invalid(field, `must have at most ${maxPathBytes} bytes in UTF-8`, 'path')
  const real = await onNamedPath(field, () => realPath(host, path))
  const state = await realPath(host, state_dir)
  for (const folder of own.map((name) => `${state}/${name}`))
    if (isInside(real, folder))
      throw invalid(field, `must not lie in ${folder}, which is Horcrux's own`, 'forbidden_path')
  const allowed = [...new Set([...allowed_paths, state_dir])]
  for (const folder of allowed) if (isInside(real, await realFolder(host, folder))) return real
  throw invalid(
    field,
    `must lie in one of the allowed folders of the node: ${allowed.join(', ')}${hintFor(field)}`,
    'forbidden_path',
  )
}
