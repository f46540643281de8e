import type { ListQuery } from '#shared/contracts/common.ts'
import type { MaySee } from '#shared/access/access.ts'
import { afterOf, cursorOf } from '#shared/db/page.ts'
import type { Facets } from '#shared/db/search.ts'
import type { Flat } from './flat.ts'
import type { Selected } from './selection.ts'

/** The bytes of a page, and what they say beside the items. */
export type BytesOfPage = { bytes: Buffer; next_cursor: string | null; total: number; facets?: Facets }

/** The JSON of records in the order of their ids, as the store sorts them: by the bytes of UTF-8. */
export type Shelf = {
  put: (id: string, json: string, flat?: Flat) => void
  remove: (id: string) => void
  /** The same buffer for as long as the record stays as it is. */
  get: (id: string) => Buffer | undefined
  page: (query: Pick<ListQuery, 'limit' | 'cursor' | 'offset'>, maySee: MaySee) => BytesOfPage
  /** The plain fields of all records. */
  flats: () => Iterable<Flat>
  /** The bytes of a page of these records. */
  selected: (selected: Selected) => BytesOfPage
  size: () => { records: number; bytes: number }
}

const order = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
const head = Buffer.from('{"data":[')
const comma = Buffer.from(',')
const none: Buffer[] = []

/** A buffer of its own: one out of Node's pool would keep the whole pool in memory. With a comma before the JSON. */
function partOf(json: string): Buffer {
  const part = Buffer.allocUnsafeSlow(1 + Buffer.byteLength(json))
  part.write(',')
  part.write(json, 1)
  return part
}

export function createShelf(): Shelf {
  const ids: string[] = []
  const parts: Buffer[] = []
  const byId = new Map<string, Buffer>()
  const flats = new Map<string, Flat>()
  let bytes = 0

  /** The number of ids before this one (binary search). */
  const placeOf = (id: string): number => {
    let [low, high] = [0, ids.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (order(ids[middle]!, id) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
  const put: Shelf['put'] = (id, json, flat) => {
    if (flat) flats.set(id, flat)
    const part = partOf(json)
    // Records that are read in order are appended.
    const place = ids.length === 0 || order(ids.at(-1)!, id) < 0 ? ids.length : placeOf(id)
    const isThere = byId.has(id)
    byId.set(id, part.subarray(1))
    bytes += part.length - (isThere ? parts[place]!.length : 0)
    ids.splice(place, isThere ? 1 : 0, id)
    parts.splice(place, isThere ? 1 : 0, part)
  }
  const remove: Shelf['remove'] = (id) => {
    if (!byId.delete(id)) return
    flats.delete(id)
    const place = placeOf(id)
    bytes -= parts[place]!.length
    ids.splice(place, 1)
    parts.splice(place, 1)
  }
  const get: Shelf['get'] = (id) => byId.get(id)

  const page: Shelf['page'] = ({ limit, cursor, offset = 0 }, maySee) => {
    let first = 0
    if (cursor !== undefined) {
      const after = afterOf(cursor)
      first = placeOf(after)
      if (ids[first] === after) first++
    }
    if (maySee.all) {
      const from = first + offset
      const chosen = parts.slice(from, from + limit)
      return joined(chosen, ids.length > from + limit ? ids[from + limit - 1]! : null, ids.length)
    }
    const seen: number[] = []
    for (const [place, id] of ids.entries()) if (maySee.item(id)) seen.push(place)
    const from = seen.findIndex((place) => place >= first)
    const asked = from < 0 ? [] : seen.slice(from + offset, from + offset + limit)
    const isMore = from >= 0 && seen.length > from + offset + limit
    const chosen = asked.map((place) => parts[place]!)
    return joined(chosen, isMore ? ids[asked.at(-1)!]! : null, seen.length)
  }
  const selected: Shelf['selected'] = ({ ids: chosen, next_cursor, total, facets }) => {
    const found = chosen.map((id) => byId.get(id)!)
    const items = found.flatMap((item, index) => (index === 0 ? [item] : [comma, item]))
    const more = facets ? `,"facets":${JSON.stringify(facets)}` : ''
    const tail = Buffer.from(`],"next_cursor":${JSON.stringify(next_cursor)},"total":${total}${more}}`)
    return { bytes: Buffer.concat([head, ...items, tail]), next_cursor, total, ...(facets && { facets }) }
  }
  return { put, remove, get, page, selected, flats: () => flats.values(), size: () => ({ records: ids.length, bytes }) }
}

function joined(parts: Buffer[], last: string | null, total: number): BytesOfPage {
  const next_cursor = last === null ? null : cursorOf(last)
  const tail = Buffer.from(`],"next_cursor":${JSON.stringify(next_cursor)},"total":${total}}`)
  const items = parts.length === 0 ? none : [parts[0]!.subarray(1), ...parts.slice(1)]
  return { bytes: Buffer.concat([head, ...items, tail]), next_cursor, total }
}
