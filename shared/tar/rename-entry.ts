import { paxRecord } from './pax.ts'
import { blockBytes, checksumOf, type TarEntry } from './read-tar.ts'

const nameBytes = 100
/** The largest number that seven octal digits hold. */
const mostOctal = 8 ** 7 - 1
const isPlain = (text: Buffer) => text.length <= nameBytes && text.every((byte) => byte > 0x1f && byte < 0x7f)

function withSum(block: Buffer): Buffer {
  block.fill(0x20, 148, 156)
  block.write(`${checksumOf(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

function setText(block: Buffer, at: number, text: Buffer): void {
  block.fill(0, at, at + nameBytes)
  text.copy(block, at, 0, Math.min(text.length, nameBytes))
}

/** The header that pax records stand behind. */
function paxHeader(entry: TarEntry, content: Buffer): Buffer {
  const block = Buffer.from(entry.block)
  setText(block, 0, Buffer.from('./PaxHeaders/entry'))
  setText(block, 157, Buffer.alloc(0))
  block.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124, 'latin1')
  block.write('x', 156, 'latin1')
  const padding = Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes)
  return Buffer.concat([withSum(block), content, padding])
}

type Owner = Pick<TarEntry, 'uid' | 'gid'>

/** The headers of an entry under another path, with another target and owner; all else stays as it is. */
export function renameEntry(entry: TarEntry, path: Buffer, target: Buffer, owner: Owner = entry): Buffer {
  const block = Buffer.from(entry.block)
  const isOther = owner.uid !== entry.uid || owner.gid !== entry.gid
  if (isOther)
    for (const [at, id] of [
      [108, owner.uid],
      [116, owner.gid],
    ] as const)
      block.write(`${Math.min(id, mostOctal).toString(8).padStart(7, '0')}\0`, at, 'latin1')
  setText(block, 0, path)
  setText(block, 157, target)
  // The beginning of a long path stands in a record now; GNU has nothing here that is read.
  block.fill(0, 345, 500)
  const replaced = ['path', 'linkpath', ...(isOther ? ['uid', 'gid'] : [])]
  const kept = entry.pax.filter(([key]) => !replaced.includes(key))
  const large = isOther ? (['uid', 'gid'] as const).filter((key) => owner[key] > mostOctal) : []
  const records = [
    ...large.map((key) => paxRecord(key, Buffer.from(String(owner[key])))),
    ...kept.map(([key, value]) => paxRecord(key, value)),
    ...(isPlain(path) ? [] : [paxRecord('path', path)]),
    ...(isPlain(target) ? [] : [paxRecord('linkpath', target)]),
  ]
  return Buffer.concat([...(records.length > 0 ? [paxHeader(entry, Buffer.concat(records))] : []), withSum(block)])
}

/** The headers of a hard link as those of a file with content of its own. */
export function asFile(entry: TarEntry, size: number): Buffer {
  const block = Buffer.from(entry.block)
  block.write('0', 156, 'latin1')
  // Eleven octal digits hold 8 GiB; a record has more.
  block.write(
    `${Math.min(size, 8 ** 11 - 1)
      .toString(8)
      .padStart(11, '0')}\0`,
    124,
    'latin1',
  )
  const pax = entry.pax.filter(([key]) => key !== 'size')
  const large: TarEntry['pax'] = size < 8 ** 11 ? [] : [['size', Buffer.from(String(size))]]
  return renameEntry({ ...entry, block, pax: [...pax, ...large] }, entry.path, Buffer.alloc(0))
}
