import { setTimeout as delay } from 'node:timers/promises'
import { type DiskSource, nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { abortJob, type BackupJob, backupJob, backupXml, beginBackup } from '#shared/nodes/libvirt/client/backup.ts'
import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import type { Copies, CopyTarget } from '../../parts.ts'
import { libvirtAt } from '../libvirt.ts'
import { unlessMissing } from '../state.ts'
import { sourceElement } from '../xml/disk-source.ts'
import { at, type Element, elements, parseXml, writeXml } from '../xml/xml.ts'

const pollEveryMs = 250
/** QEMU first finishes the block that it is writing. */
const abortMs = 30_000

const element = (name: string, attributes: Record<string, string>, ...children: Element[]): Element => ({
  name,
  attributes,
  children,
})

/** @throws ConflictError for a network image, into which libvirt makes no backup */
function requireLocal(source: DiskSource): DiskSource {
  if (source.type === 'network') throw new ConflictError(`libvirt copies no disks to ${nameOfSource(source)}`)
  return source
}

/** The XML of a backup ("Backup XML format"); a disk that is not named is left out. */
export const backupOf = (targets: CopyTarget[]): string =>
  writeXml(
    element(
      'domainbackup',
      { mode: 'push' },
      element(
        'disks',
        {},
        ...targets.map(({ disk, source, format }) =>
          element(
            'disk',
            { name: disk, backup: 'yes', type: source.type },
            element('driver', { type: format }),
            sourceElement(requireLocal(source), 'target'),
          ),
        ),
      ),
    ),
  )

async function isUnderWay(libvirt: HostConnection, uuid: string, copy: string): Promise<boolean> {
  const xml = await unlessMissing(() => backupXml(libvirt, uuid), null)
  if (xml === null) return false
  const disks = elements(at(parseXml(xml), 'disks'), 'disk')
  return disks.some((disk) => Object.values(at(disk, 'target')?.attributes ?? {}).some((value) => value.includes(copy)))
}

/** Reads the state of a job; `none` for a guest that is switched off just now. */
async function stateOf(ask: () => Promise<BackupJob>): Promise<BackupJob> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof ConflictError || error instanceof NotFoundError)) throw error
    return { state: 'none', done: 0, total: 0, error: null }
  }
}

/** Copies by libvirt's backups: QEMU keeps each block that the guest overwrites until it is copied. */
export const copies: Copies = {
  begin: async ({ node, handle: uuid }, targets) => {
    const libvirt = await libvirtAt(node)
    await beginBackup(libvirt, uuid, backupOf(targets))
  },

  isUnderWay: async ({ node, handle: uuid }, copy) => isUnderWay(await libvirtAt(node), uuid, copy),

  wait: async ({ id, node, handle: uuid }, copy, { signal, onProgress }) => {
    const libvirt = await libvirtAt(node)
    for (;;) {
      signal.throwIfAborted()
      if (!(await isUnderWay(libvirt, uuid, copy))) break
      const { state, done, total } = await stateOf(() => backupJob(libvirt, uuid))
      if (state === 'running' && total > 0) onProgress(done, total)
      await delay(pollEveryMs, undefined, { signal })
    }
    const { state, error } = await stateOf(() => backupJob(libvirt, uuid, { ended: true }))
    if (state === 'completed') return true
    if (state === 'failed' || state === 'cancelled')
      throw new ConflictError(`QEMU ended the copy of '${id}' before it was whole: ${error ?? state}`)
    return false
  },

  abort: async ({ id, node, handle: uuid }, copy) => {
    const libvirt = await libvirtAt(node)
    const deadline = Date.now() + abortMs
    if (await isUnderWay(libvirt, uuid, copy)) await abortJob(libvirt, uuid)
    while (await isUnderWay(libvirt, uuid, copy)) {
      if (Date.now() > deadline) throw new UnavailableError(`QEMU has not ended the copy of '${id}'`)
      await delay(pollEveryMs / 5)
    }
  },
}
