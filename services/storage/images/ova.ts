import { createHash, type Hash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import { extract, type Header } from 'tar-stream'
import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Part } from './complete-image.ts'
import { attribute, childrenOf, parseDescriptor, sections } from './ovf/xml.ts'

/** A header of ustar. The data follows it. */
const headerBytes = 512
const mostFiles = 64
const mostTextBytes = 2 ** 20

/** A file in an archive. `text`: of a descriptor or manifest. */
export type Member = { offset: number; length: number; digests: Map<string, string>; text: string | null }

const isText = (name: string) => /\.(ovf|mf)$/i.test(name)
const isManifest = (name: string) => /\.mf$/i.test(name)
const isDescriptor = (name: string) => /\.ovf$/i.test(name)

/** The reason to refuse a member of an archive; null for a plain file with a plain name. */
export function refusedMember({ name, type, size = 0 }: Pick<Header, 'name' | 'type' | 'size'>, seen: string[]) {
  if (type !== 'file' && type !== 'contiguous-file') return `has a ${type} in it, '${name}'; only plain files are read`
  if (!/^[^/\\\0]{1,255}$/.test(name) || name === '.' || name === '..') return `has a file in it with a path, '${name}'`
  if (seen.includes(name)) return `has two files named '${name}'`
  if (seen.length >= mostFiles) return `has more than ${mostFiles} files in it`
  if (seen.length === 0 && !isDescriptor(name)) return `begins with '${name}'; an OVA begins with its .ovf`
  if (seen.length > 0 && isDescriptor(name)) return 'has two descriptors (.ovf) in it'
  return isText(name) && size > mostTextBytes ? `has a '${name}' of ${size} bytes` : null
}

/** Kinds of digests that the manifest uses; all while it has not come yet. */
function kindsIn(members: Map<string, Member>): string[] {
  const manifests = [...members].filter(([name]) => isManifest(name)).map(([, { text }]) => text ?? '')
  if (manifests.length === 0) return ['sha1', 'sha256', 'sha512']
  return [...new Set(manifests.flatMap((text) => digestsOf(text).map(({ kind }) => kind)))]
}

export type Reading = {
  signal: AbortSignal
  onProgress?: (doneBytes: number) => void
  /** Ends the reading before the end of the archive. */
  isEnough?: (members: ReadonlyMap<string, Member>) => boolean
}

/** Reads a tar archive. The digest of every file in it is computed on the way; nothing is unpacked. */
async function readMembers(
  host: Host,
  path: string,
  { signal, onProgress, isEnough }: Reading,
): Promise<Map<string, Member>> {
  const members = new Map<string, Member>()
  const cat = await host.spawn('cat', ['--', path], { signal })
  const parser = extract()
  const reading = pipeline(cat.stdout, parser)
  // Its failure is reported below; one after the last member that is needed is none.
  reading.catch(() => undefined)
  try {
    for await (const entry of parser) {
      members.set(entry.header.name, await readMember(path, entry, members, onProgress))
      if (isEnough?.(members)) return members
    }
    await reading
  } catch (error) {
    await reading.catch(() => undefined)
    if (error instanceof ConflictError) throw error
    throw new ConflictError(`${path} is no whole tar archive: ${(error as Error).message}`, { cause: error })
  } finally {
    await cat.kill()
  }
  return members
}

/** A file while the archive is read. */
type Entry = { header: Header } & AsyncIterable<unknown>

async function readMember(
  path: string,
  entry: Entry,
  members: Map<string, Member>,
  onProgress: Reading['onProgress'],
): Promise<Member> {
  const { name, size = 0 } = entry.header
  const refused = refusedMember(entry.header, [...members.keys()])
  if (refused !== null) throw new ConflictError(`${path} ${refused}`)
  const hashes: [string, Hash][] = kindsIn(members).map((kind) => [kind, createHash(kind)])
  const kept: Buffer[] = []
  // tar-stream counts the bytes up to the header, but its types do not say so.
  const offset = (entry as unknown as { offset: number }).offset + headerBytes
  let done = offset
  for await (const chunk of entry as AsyncIterable<Buffer>) {
    for (const [, hash] of hashes) hash.update(chunk)
    if (isText(name)) kept.push(chunk)
    done += chunk.length
    onProgress?.(done)
  }
  const digests = new Map(hashes.map(([kind, hash]) => [kind, hash.digest('hex')]))
  return { offset, length: size, digests, text: isText(name) ? Buffer.concat(kept).toString('utf8') : null }
}

/** Digests of a manifest: lines such as `SHA256(disk.vmdk)= 5f…` (OVF 1.1, 5.1). */
export const digestsOf = (manifest: string): { kind: string; name: string; digest: string }[] =>
  [...manifest.matchAll(/^(SHA1|SHA256|SHA512)\s*\(([^)\n]+)\)\s*=\s*([0-9a-f]+)\s*$/gim)].map(
    ([, kind = '', name = '', digest = '']) => ({ kind: kind.toLowerCase(), name, digest: digest.toLowerCase() }),
  )

/** The file names of the disks in an OVF descriptor, in its order. */
export function disksIn(descriptor: string): string[] {
  const envelope = parseDescriptor(descriptor)
  const all = (parent: string, child: string) =>
    sections(envelope, parent).flatMap((section) => childrenOf(section, child))
  const hrefs = new Map(all('References', 'File').map((file) => [attribute(file, 'id'), attribute(file, 'href')]))
  return all('DiskSection', 'Disk').flatMap((disk) => hrefs.get(attribute(disk, 'fileRef')) ?? [])
}

/** Compares files with the digests of their manifests. @throws ConflictError for a file that is missing or another */
function requireManifest(path: string, members: Map<string, Member>): void {
  const manifests = [...members].filter(([name]) => isManifest(name)).map(([, { text }]) => text ?? '')
  for (const { kind, name, digest } of manifests.flatMap(digestsOf)) {
    const member = members.get(name)
    if (!member) throw new ConflictError(`${path} lacks '${name}', which its manifest names`)
    if (member.digests.get(kind) !== digest)
      throw new ConflictError(`${path} is damaged: '${name}' has not the digest of the manifest`)
  }
}

/**
 * Reads an archive to its end and compares it with its manifest.
 * @throws ConflictError for anything but plain files with one descriptor at the beginning
 */
export async function readArchive(host: Host, path: string, how: Reading): Promise<Map<string, Member>> {
  const members = await readMembers(host, path, how)
  requireManifest(path, members)
  return members
}

/** The text of the descriptor at the beginning of an archive; the rest is not read. @throws ConflictError for another file */
export async function descriptorIn(host: Host, path: string, signal: AbortSignal): Promise<string> {
  const members = await readMembers(host, path, { signal, isEnough: ({ size }) => size > 0 })
  const [descriptor] = members.values()
  if (!descriptor) throw new ConflictError(`${path} is empty`)
  return descriptor.text ?? ''
}

/**
 * Finds the disk in an OVA. The digests of its manifest are compared.
 * @param wanted name of the disk, needed if there are several
 * @throws ConflictError for anything but plain files with one descriptor at the beginning
 */
export async function diskInOva(
  host: Host,
  path: string,
  { wanted, signal }: { wanted?: string | undefined; signal: AbortSignal },
): Promise<Part> {
  const members = await readArchive(host, path, { signal })
  const refuse = (why: string) => new ConflictError(`${path} ${why}`)
  const [descriptor] = members.values()
  if (!descriptor) throw refuse('is empty')
  let disks: string[]
  try {
    disks = disksIn(descriptor.text ?? '')
  } catch (error) {
    throw refuse(`has a descriptor that cannot be read: ${(error as Error).message}`)
  }
  const [only] = disks
  if (only === undefined) throw refuse('has no disk in it')
  if (wanted === undefined && disks.length > 1) throw refuse(`has ${disks.length} disks; name one: ${disks.join(', ')}`)
  const name = wanted ?? only
  if (!disks.includes(name)) throw refuse(`has no disk '${name}'; there are ${disks.join(', ')}`)
  const member = members.get(name)
  if (!member) throw refuse(`lacks its disk '${name}'`)
  return { name, offset: member.offset, length: member.length }
}
