import type { FileVolume } from '#shared/contracts/storage/backup-files.ts'
import { printable } from './guest/outcome.ts'

/** A volume with its device in the guest. */
export type FoundVolume = FileVolume & { device: string }
export type Scanned = { volumes: FoundVolume[]; problems: string[] }

/** Types that the guest can mount. */
const readable = new Set('ext2 ext3 ext4 xfs btrfs vfat exfat iso9660 udf squashfs'.split(' '))

const reasons: Record<string, string> = {
  LVM2_member: 'It is a part of a volume group, whose logical volumes are volumes of their own',
  linux_raid_member: 'It is a part of a Linux RAID, which cannot be read',
  zfs_member: 'It is a part of a ZFS pool, which cannot be read',
  crypto_LUKS: 'It is encrypted by LUKS',
  BitLocker: 'It is encrypted by BitLocker',
  swap: 'It is swap space',
  ntfs: 'NTFS cannot be read by the kernel of the guest',
}

/** Devices in the guest have names of this form; another one is no name of its kernel. */
const deviceName = /^[a-z]{2,3}[a-z0-9-]{0,12}$/
const mappedName = /^[A-Za-z0-9_.+-]{1,255}$/

type Block = { words: string[]; facts: Map<string, string> }

/** Lines of a device, each followed by the facts of blkid. */
function blocksOf(text: string): Block[] {
  const blocks: Block[] = []
  for (const line of text.split('\n')) {
    const fact = /^(ID_[A-Z_]+)=(.*)$/.exec(line)
    if (fact) blocks.at(-1)?.facts.set(fact[1]!, fact[2]!)
    else if (line !== '') blocks.push({ words: line.split(' '), facts: new Map() })
  }
  return blocks
}

/** A value in which blkid has encoded unsafe bytes as `\x20`. */
function decoded(value: string | undefined): string | null {
  if (!value) return null
  const bytes = Buffer.from(
    value.replaceAll(/\\x([0-9a-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))),
    'latin1',
  )
  return printable(bytes.toString('utf8')) || null
}

function contentOf(facts: Map<string, string>) {
  const type = decoded(facts.get('ID_FS_TYPE'))
  const isReadable = type !== null && readable.has(type)
  const unknown =
    type === null ? 'It has no file system that is known' : `A file system of the type ${type} cannot be read`
  return {
    type,
    label: decoded(facts.get('ID_FS_LABEL_ENC')),
    uuid: decoded(facts.get('ID_FS_UUID_ENC')),
    readable: isReadable,
    reason: isReadable ? null : (reasons[type ?? ''] ?? unknown),
  }
}

/** The id of a partition, as Linux names it: `vda1`, and `nvme0n1p1` behind a digit. */
const partitionId = (disk: string, number: number) => `${disk}${/\d$/.test(disk) ? 'p' : ''}${number}`

/** Fields of a line; null for one that is not of a device. */
function deviceIn([kind, device = '', size = '', third = '', fourth = '']: string[]) {
  const size_bytes = Number(size)
  if (!deviceName.test(device) || !Number.isSafeInteger(size_bytes) || size_bytes < 0) return null
  return { kind, device, size_bytes, third, partition: Number(fourth) }
}

/** Disks of the guest by name, with the id in the backup. */
type Disks = Map<string, string>

/** The volume of a line; null for a disk with a partition table, or of none. */
function volumeOf({ words, facts }: Block, disks: Disks): FoundVolume | null {
  const found = deviceIn(words)
  if (!found) return null
  const { kind, device, size_bytes, third, partition } = found
  const content = { ...contentOf(facts), size_bytes, device }
  const disk = disks.get(kind === 'disk' ? device : third)
  if (kind === 'disk' && disk !== undefined && !facts.has('ID_PART_TABLE_TYPE'))
    return { id: disk, disk, partition: null, ...content }
  if (kind === 'partition' && disk !== undefined && Number.isSafeInteger(partition))
    return { id: partitionId(disk, partition), disk, partition, ...content }
  if (kind === 'mapped' && mappedName.test(third)) return { id: third, disk: null, partition: null, ...content }
  return null
}

/**
 * Reads what the guest has found on its disks. The guest has seen hostile bytes, so every field is checked.
 * @param disks ids of the disks of the backup, in the order in which the guest has them
 */
export function volumesIn(text: string, disks: readonly string[]): Scanned {
  const blocks = blocksOf(text)
  const names: Disks = new Map()
  for (const { words } of blocks) {
    const id = words[0] === 'disk' ? disks[Number(words[3])] : undefined
    if (id !== undefined) names.set(words[1]!, id)
  }
  const volumes = blocks.flatMap((block) => volumeOf(block, names) ?? [])
  const cut = new Set(volumes.flatMap(({ partition, disk }) => (partition === null ? [] : disk)))
  return {
    // The kernel has found partitions on a disk that looks like a file system: these count.
    volumes: volumes.filter(({ disk, partition }) => partition !== null || disk === null || !cut.has(disk)),
    problems: blocks.flatMap(({ words: [kind, ...rest] }) => (kind === 'problem' ? printable(rest.join(' ')) : [])),
  }
}
