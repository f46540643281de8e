/** Migrations of running domains by libvirt, managed direct: this process drives both hosts, and QEMU sends to QEMU. */
import type { Libvirt } from '../connection/connection.ts'
import type { HostConnection } from '../connection/host-connection.ts'
import type { Parameters } from '../worker/parameters.ts'
import { order } from './domain.ts'

/** virDomainMigrateFlags (libvirt/libvirt-domain.h). */
const flagsOf = {
  live: 1 << 0,
  persistTarget: 1 << 3,
  copyDisks: 1 << 6,
  protectSource: 1 << 8,
  unsafe: 1 << 9,
  abortOnError: 1 << 12,
  autoConverge: 1 << 13,
  postCopy: 1 << 15,
  writeToBoth: 1 << 18,
  resumePostCopy: 1 << 19,
} as const

/** Bytes of a page of a guest's memory, where libvirt does not tell. */
const pageBytes = 4096
/** virDomainGetJobStatsFlags: of the job that ended last, also when it was asked for before. */
const completed = 1 | 2
/** virDomainJobOperation. */
const incoming = 4
const outgoing = 5

const migrateUri = (address: string): [string, string] => [
  'migrate_uri',
  `tcp://${address.includes(':') ? `[${address}]` : address}`,
]

export type DomainMigration = {
  uuid: string
  /** The definition as it runs on the target, and the one of its next start there. */
  xml: string
  persistentXml: string
  /** Address of the target for QEMU's own connection; libvirt's name of the target where none is given. */
  address: string | null
  /** Target names of disks that are copied; their images on the target are there. */
  copiedDisks: string[]
  bandwidthMib: number
  autoConverge: boolean
  /** {@link startPostCopy} is allowed while it runs. */
  mayPostCopy: boolean
}

/**
 * Moves a domain; the definition at the source stays. Takes as long as the move.
 * @param onTargetLost the target's daemon has ended or is silent: the move cannot succeed any more, and goes on until it is aborted
 */
export async function migrateDomain(
  source: Libvirt,
  target: HostConnection,
  how: DomainMigration,
  onTargetLost: () => void,
): Promise<void> {
  const { uuid, xml, persistentXml, address, copiedDisks, bandwidthMib, autoConverge, mayPostCopy } = how
  const flags =
    flagsOf.live +
    flagsOf.persistTarget +
    flagsOf.protectSource +
    flagsOf.abortOnError +
    // libvirt judges by the type of the file system. The caller has found the same storage pool on both nodes.
    flagsOf.unsafe +
    (copiedDisks.length > 0 ? flagsOf.copyDisks + flagsOf.writeToBoth : 0) +
    (autoConverge ? flagsOf.autoConverge : 0) +
    (mayPostCopy ? flagsOf.postCopy : 0)
  const texts: [string, string][] = [
    ['destination_xml', xml],
    ['persistent_xml', persistentXml],
    ...copiedDisks.map((disk): [string, string] => ['migrate_disks', disk]),
  ]
  if (address !== null) texts.push(migrateUri(address))
  const numbers: [string, number][] = [['bandwidth', bandwidthMib]]
  if (mayPostCopy) numbers.push(['bandwidth.postcopy', bandwidthMib])
  const { conn, release } = await target.lend(onTargetLost)
  await source.call('migrate', { uuid, target: conn, flags, texts, numbers }, { isSlow: true, onEnd: release })
}

/** Has the target run the guest now; the rest of its memory follows. From here on each host has a part of the guest. */
export const startPostCopy = (libvirt: Libvirt, uuid: string) =>
  order(libvirt, uuid, 'virDomainMigrateStartPostCopy', 0)

/**
 * Goes on with an interrupted post-copy migration over a new connection, and waits for its end.
 * @throws ConflictError while QEMU has not given up the former connection, on either host
 */
export async function resumePostCopy(
  source: Libvirt,
  target: HostConnection,
  { uuid, address, bandwidthMib }: Pick<DomainMigration, 'uuid' | 'address' | 'bandwidthMib'>,
): Promise<void> {
  const { live, persistTarget, unsafe, postCopy, resumePostCopy: resume } = flagsOf
  const flags = live + persistTarget + unsafe + postCopy + resume
  const texts = address === null ? [] : [migrateUri(address)]
  const numbers: [string, number][] = [['bandwidth.postcopy', bandwidthMib]]
  const { conn, release } = await target.lend(() => undefined)
  await source.call('migrate', { uuid, target: conn, flags, texts, numbers }, { isSlow: true, onEnd: release })
}

/** Numbers of a migration, from QEMU; null where it does not tell. */
export type MigrationJob = {
  isRunning: boolean
  ram_total_bytes: number
  ram_transferred_bytes: number
  ram_remaining_bytes: number
  disk_total_bytes: number
  disk_transferred_bytes: number
  rate_bytes_per_second: number | null
  dirty_bytes_per_second: number | null
  iteration: number | null
  throttle_percent: number | null
  elapsed_ms: number | null
  /** Expected while it runs, measured when it has ended. */
  downtime_ms: number | null
}

const numberIn = (parameters: Parameters, name: string): number | null => {
  const value = parameters.get(name)
  return typeof value === 'number' ? value : null
}

/** Reads the migration of a domain, or with `ended` the last one; null when its last job was none. */
export async function migrationJob(
  libvirt: Libvirt,
  uuid: string,
  { ended = false } = {},
): Promise<MigrationJob | null> {
  const { type, parameters } = await libvirt.call('job', { uuid, flags: ended ? completed : 0 })
  const operation = parameters.get('operation')
  if (operation !== outgoing && operation !== incoming) return null
  const read = (name: string) => numberIn(parameters, name)
  const dirtyPages = read('memory_dirty_rate')
  return {
    isRunning: type === 1 || type === 2,
    ram_total_bytes: read('memory_total') ?? 0,
    ram_transferred_bytes: read('memory_processed') ?? 0,
    ram_remaining_bytes: read('memory_remaining') ?? 0,
    disk_total_bytes: read('disk_total') ?? 0,
    disk_transferred_bytes: read('disk_processed') ?? 0,
    rate_bytes_per_second: read('memory_bps') ?? read('disk_bps'),
    dirty_bytes_per_second: dirtyPages === null ? null : dirtyPages * (read('memory_page_size') ?? pageBytes),
    iteration: read('memory_iteration'),
    throttle_percent: read('auto_converge_throttle'),
    elapsed_ms: read('time_elapsed'),
    downtime_ms: read('downtime'),
  }
}

/** Sets the longest pause that QEMU may plan at the end of a migration that runs. */
export const setMaxDowntime = (libvirt: Libvirt, uuid: string, ms: number) =>
  order(libvirt, uuid, 'virDomainMigrateSetMaxDowntime', ms, 0)

/** libvirt's words about what the host's processor lacks for a `<cpu>`; null when it has all. */
export const missingCpuFeatures = (
  libvirt: Libvirt,
  words: { arch: string; machine: string; virtType: string; cpu: string },
): Promise<string | null> => libvirt.call('missingCpuFeatures', { emulator: null, ...words })
