/** Backups of running domains by libvirt, in push mode: QEMU itself writes all disks, as they are at one moment, to files. */
import type { Libvirt } from '../connection/connection.ts'
import { order } from './domain.ts'

/** virDomainBackupBeginFlags: the files are there, empty and of the right size. */
const reuseExternal = 1
/** virDomainGetJobStatsFlags: of the job that ended last, also when it was asked for before. */
const completed = 1 | 2
/** virDomainJobOperation. */
const backupOperation = 9

/** virDomainJobType. */
const types = ['none', 'running', 'running', 'completed', 'failed', 'cancelled'] as const

export type BackupJob = {
  /** `none` also when the last job was no backup. */
  state: (typeof types)[number]
  /** Bytes of the disks, empty or not. */
  done: number
  total: number
  error: string | null
}

/** Begins a backup (libvirt's "Backup XML format"). A domain has one at a time. */
export const beginBackup = (libvirt: Libvirt, uuid: string, xml: string) =>
  order(libvirt, uuid, 'virDomainBackupBegin', xml, null, reuseExternal)

/** The XML of the backup that is under way. @throws NotFoundError when there is none */
export const backupXml = (libvirt: Libvirt, uuid: string) => libvirt.call('backupXml', { uuid })

/** Reads the progress of the domain's backup, or with `ended` the outcome of the last one. */
export const backupJob = async (libvirt: Libvirt, uuid: string, { ended = false } = {}): Promise<BackupJob> => {
  const { type, parameters } = await libvirt.call('job', { uuid, flags: ended ? completed : 0 })
  const isBackup = parameters.get('operation') === backupOperation
  const error = parameters.get('errmsg')
  return {
    state: isBackup ? (types[type] ?? 'none') : 'none',
    done: Number(parameters.get('disk_processed') ?? 0),
    total: Number(parameters.get('disk_total') ?? 0),
    error: typeof error === 'string' ? error : null,
  }
}

/** Ends the job of a domain, of any kind; it may take a moment until it is gone. */
export const abortJob = (libvirt: Libvirt, uuid: string) => order(libvirt, uuid, 'virDomainAbortJob')
