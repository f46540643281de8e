/** Reads the drives of a Proxmox VE configuration (qm.conf(5)). Pure. */
import type { Appliance } from '#shared/contracts/storage/appliances.ts'
import type { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import type { Violation } from '#shared/errors.ts'
import type { Config } from './read.ts'

type Bus = Appliance['disks'][number]['bus']
type Cache = 'none' | 'writeback' | 'writethrough' | 'directsync' | 'unsafe'

/** A disk, in the form of its key in the configuration, such as `scsi0`. `volume`: STORAGE:NAME, for `pvesm`. */
export type Drive = {
  key: string
  bus: Bus
  controller: string
  volume: string
  format: 'qcow2' | 'raw'
  cache: Cache | null
  /** As the configuration has it, which may be outdated; 0: it has none. */
  size_bytes: number
}
export type Drives = { drives: Drive[]; unmapped: string[]; violations: Violation[] }

/** Pairs of a property string, `scsi0: local:100/a.qcow2,size=32G`; the one without a name gets that of `first`. */
export const pairsOf = (value: string, first: string): Map<string, string> =>
  new Map(
    value.split(',').map((part): [string, string] => {
      const at = part.indexOf('=')
      return at < 0 ? [first, part] : [part.slice(0, at), part.slice(at + 1)]
    }),
  )

const drivePattern = /^(virtio|scsi|sata|ide)(\d+)$/
/** Storage id and name of a volume; the name begins with no `/` or `-`, and has no `..`. */
const volumePattern = /^(?!.*\.\.)[A-Za-z][A-Za-z0-9._-]*:[A-Za-z0-9][A-Za-z0-9._+/@-]*$/
const order = ['virtio', 'scsi', 'sata', 'ide']

/** Options that the VM here has by itself, or that say nothing of the guest. */
const silent: ReadonlySet<string> = new Set([
  'file',
  'media',
  'size',
  'format',
  'cache',
  'backup',
  'replicate',
  'shared',
])
const caches: readonly string[] = ['none', 'writeback', 'writethrough', 'directsync', 'unsafe'] satisfies Cache[]
const isCache = (word: string | undefined): word is Cache => word !== undefined && caches.includes(word)

const units: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }

function bytesIn(size: string | undefined): number {
  const [, count, unit] = /^(\d+(?:\.\d+)?)([KMGT]?)$/.exec(size ?? '') ?? []
  return count === undefined ? 0 : Math.round(Number(count) * units[unit!]!)
}

/** The format of a volume: its suffix in a folder, raw otherwise; null for one that cannot be copied. */
function formatOf(volume: string): Drive['format'] | null {
  const suffix = /\.(qcow2|raw|vmdk|subvol|qed|cloop)$/.exec(volume)?.[1] ?? 'raw'
  const formats: readonly string[] = ['qcow2', 'raw'] satisfies (typeof VolumeFormat.enum)[number][]
  return formats.includes(suffix) ? (suffix as Drive['format']) : null
}

/** The bus, as far as a guest has a driver for it: only some SCSI controllers are virtio's. */
function controllerOf(kind: string, scsihw: string): Pick<Drive, 'bus' | 'controller'> {
  if (kind !== 'scsi') return { bus: kind as Bus, controller: kind }
  return { bus: scsihw.startsWith('virtio-scsi') ? 'scsi' : 'other', controller: `scsi (${scsihw})` }
}

/** The name of the first boot device, or null. */
export function bootKeysOf(config: Config): string[] {
  const pairs = pairsOf(config.get('boot') ?? '', 'legacy')
  const named = pairs.get('order')
  if (named !== undefined) return named.split(';').filter(Boolean)
  const disk = config.get('bootdisk')
  const letters = [...(pairs.get('legacy') || 'cdn')]
  return letters.flatMap((letter) => (letter === 'c' ? (disk ?? []) : letter === 'n' ? 'net0' : []))
}

/** The data disks of a configuration, the first to boot from first; everything else of drives is named. */
export function drivesOf(config: Config): Drives {
  const scsihw = config.get('scsihw') ?? 'lsi'
  const drives: Drive[] = []
  const unmapped: string[] = []
  const violations: Violation[] = []
  const refuse = (message: string) => violations.push({ field: 'vmid', code: 'unsupported', message })
  const keys = [...config.keys()].filter((key) => drivePattern.test(key))
  const placeOf = (key: string) => {
    const [, kind, index] = drivePattern.exec(key)!
    return order.indexOf(kind!) * 100 + Number(index)
  }
  for (const key of keys.toSorted((a, b) => placeOf(a) - placeOf(b))) {
    const pairs = pairsOf(config.get(key)!, 'file')
    const volume = pairs.get('file') ?? pairs.get('volume') ?? ''
    if (pairs.get('media') === 'cdrom') {
      if (/vm-\d+-cloudinit/.test(volume)) unmapped.push(`${key}: cloud-init drive; set cloud-init of the new VM`)
      else unmapped.push(`${key}: CD drive${volume === 'none' ? '' : ` with ${volume}`}`)
      continue
    }
    const format = formatOf(volume)
    if (!volumePattern.test(volume))
      refuse(`${key}: '${volume}' is a disk outside the storages there; only their volumes are copied`)
    else if (format === null) refuse(`${key}: '${volume}' is neither raw nor qcow2`)
    else {
      const controller = controllerOf(drivePattern.exec(key)![1]!, scsihw)
      const cache = pairs.get('cache')
      const size_bytes = bytesIn(pairs.get('size'))
      drives.push({ key, ...controller, volume, format, cache: isCache(cache) ? cache : null, size_bytes })
    }
    const others = [...pairs].filter(([name]) => !silent.has(name) && name !== 'volume')
    if (others.length > 0) unmapped.push(`${key}: ${others.map((pair) => pair.join('=')).join(', ')}`)
  }
  const first = bootKeysOf(config).find((key) => drives.some((drive) => drive.key === key))
  const isFirst = ({ key }: Drive) => Number(key !== first)
  return { drives: drives.toSorted((a, b) => isFirst(a) - isFirst(b)), unmapped, violations }
}
