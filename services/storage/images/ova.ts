import { createHash, type Hash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import { XMLParser } from 'fast-xml-parser'
import { extract, type Header } from 'tar-stream'
import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Part } from './complete-image.ts'

/** A header of ustar. The data follows it. */
const headerBytes = 512
const mostFiles = 64
const mostTextBytes = 2 ** 20

type Member = { offset: number; length: number; digests: Map<string, string>; text: string | null }

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

/** Reads a tar archive to its end. The digest of every file in it is computed on the way; nothing is unpacked. */
async function readMembers(host: Host, path: string, signal: AbortSignal): Promise<Map<string, Member>> {
  const members = new Map<string, Member>()
  const cat = await host.spawn('cat', ['--', path], { signal })
  const parser = extract()
  const reading = pipeline(cat.stdout, parser)
  try {
    for await (const entry of parser) {
      const { name, size = 0 } = entry.header
      const refused = refusedMember(entry.header, [...members.keys()])
      if (refused !== null) throw new ConflictError(`${path} ${refused}`)
      const hashes: [string, Hash][] = kindsIn(members).map((kind) => [kind, createHash(kind)])
      const kept: Buffer[] = []
      // tar-stream counts the bytes up to the header, but its types do not say so.
      const offset = (entry as unknown as { offset: number }).offset + headerBytes
      for await (const chunk of entry as AsyncIterable<Buffer>) {
        for (const [, hash] of hashes) hash.update(chunk)
        if (isText(name)) kept.push(chunk)
      }
      const digests = new Map(hashes.map(([kind, hash]) => [kind, hash.digest('hex')]))
      const text = isText(name) ? Buffer.concat(kept).toString('utf8') : null
      members.set(name, { offset, length: size, digests, text })
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

/** Digests of a manifest: lines such as `SHA256(disk.vmdk)= 5f…` (OVF 1.1, 5.1). */
export const digestsOf = (manifest: string): { kind: string; name: string; digest: string }[] =>
  [...manifest.matchAll(/^(SHA1|SHA256|SHA512)\s*\(([^)\n]+)\)\s*=\s*([0-9a-f]+)\s*$/gim)].map(
    ([, kind = '', name = '', digest = '']) => ({ kind: kind.toLowerCase(), name, digest: digest.toLowerCase() }),
  )

type Xml = { [name: string]: Xml[] | string }

/** The file names of the disks in an OVF descriptor, in its order. */
export function disksIn(descriptor: string): string[] {
  if (/<!DOCTYPE|<!ENTITY/i.test(descriptor)) throw new Error('a document type is not read')
  const options = { ignoreAttributes: false, removeNSPrefix: true, isArray: () => true, processEntities: true }
  const [envelope] =
    (new XMLParser({ ...options, attributeNamePrefix: '@' }).parse(descriptor) as { Envelope?: Xml[] }).Envelope ?? []
  const all = (parent: string, child: string): Xml[] =>
    listIn(envelope, parent).flatMap((each) => (typeof each === 'string' ? [] : listIn(each, child)))
  const hrefs = new Map(all('References', 'File').map((file) => [attribute(file, 'id'), attribute(file, 'href')]))
  return all('DiskSection', 'Disk').flatMap((disk) => hrefs.get(attribute(disk, 'fileRef')) ?? [])
}

const listIn = (element: Xml | undefined, name: string): Xml[] => {
  const found = element?.[name]
  return Array.isArray(found) ? found.filter((each) => typeof each === 'object') : []
}
const attribute = (element: Xml, name: string): string | undefined => {
  const value = element[`@${name}`]
  // The parser gives a repeated attribute as a list, which its type does not say.
  const [first] = Array.isArray(value) ? (value as unknown as string[]) : [value]
  return first
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
  const members = await readMembers(host, path, signal)
  const refuse = (why: string) => new ConflictError(`${path} ${why}`)
  const [descriptor] = members.values()
  if (!descriptor) throw refuse('is empty')
  for (const { text } of [...members].filter(([name]) => isManifest(name)).map(([, member]) => member))
    for (const { kind, name, digest } of digestsOf(text ?? '')) {
      const member = members.get(name)
      if (!member) throw refuse(`lacks '${name}', which its manifest names`)
      if (member.digests.get(kind) !== digest) throw refuse(`is damaged: '${name}' has not the digest of the manifest`)
    }
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
