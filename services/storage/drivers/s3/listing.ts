import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { markerName } from '../marker.ts'
import { isKey, largestPage, type ListingPage, type StoredObject } from '../objects.ts'
import { ask, documentOf } from './client.ts'

type Config = PoolConfig<'s3'>
type Page = { objects: StoredObject[]; next: string | null }

/** The elements of a name, of which a document has none, one or several. */
const elementsOf = (document: Record<string, unknown>, name: string): Record<string, string>[] =>
  // The parser gives a lone element without a list around it.
  [document[name] ?? []].flat() as Record<string, string>[]

const rootOf = ({ prefix }: Config) => (prefix === null ? '' : `${prefix}/`)

/** One page of keys, in the order of their bytes; `next` is the last of them (ListObjectsV2). */
export async function listPage(
  host: Host,
  config: Config,
  prefix: string,
  { after = '', limit = largestPage }: ListingPage,
): Promise<Page> {
  const root = rootOf(config)
  const query = {
    'list-type': '2',
    'max-keys': String(Math.min(limit, largestPage)),
    prefix: root + prefix,
    // The marker comes before all keys.
    'start-after': root + (after === '' ? markerName : after),
  }
  const document = documentOf((await ask(host, config, { method: 'GET', query })).text)
  const listed = elementsOf(document, 'Contents')
  const objects = listed.map(({ Key = '', Size, LastModified = '' }) => ({
    key: Key.slice(root.length),
    size_bytes: Number(Size),
    modified_at: new Date(LastModified).toISOString(),
  }))
  const next = document['IsTruncated'] === 'true' ? (objects.at(-1)?.key ?? null) : null
  return { objects: objects.filter(({ key }) => isKey(key)), next }
}

/** As {@link listPage}, with as many keys as wanted where others put objects of other names into the bucket. */
export async function keysIn(host: Host, config: Config, prefix: string, page: ListingPage): Promise<Page> {
  const limit = page.limit ?? largestPage
  const objects: StoredObject[] = []
  let next: string | null = page.after ?? ''
  do {
    const found: Page = await listPage(host, config, prefix, { after: next, limit: limit - objects.length })
    objects.push(...found.objects)
    next = found.next
  } while (next !== null && objects.length < limit)
  return { objects, next }
}

/** Uploads that were begun and neither completed nor aborted (ListMultipartUploads). */
export async function unfinishedUploads(host: Host, config: Config) {
  const found: { name: string; id: string; begun: Date }[] = []
  let marker: Record<string, string> | null = {}
  while (marker) {
    const query: Record<string, string> = { uploads: '', prefix: rootOf(config), ...marker }
    const document = documentOf((await ask(host, config, { method: 'GET', query })).text)
    for (const { Key = '', UploadId = '', Initiated = '' } of elementsOf(document, 'Upload'))
      found.push({ name: Key, id: UploadId, begun: new Date(Initiated) })
    const { IsTruncated, NextKeyMarker = '', NextUploadIdMarker = '' } = document as Record<string, string>
    const next: Record<string, string> = { 'key-marker': NextKeyMarker, 'upload-id-marker': NextUploadIdMarker }
    marker = IsTruncated === 'true' ? next : null
  }
  return found
}
