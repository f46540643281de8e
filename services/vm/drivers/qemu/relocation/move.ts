import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { abortJob } from '#shared/nodes/libvirt/client/backup.ts'
import { defineDomain, domainXml, monitorCommand } from '#shared/nodes/libvirt/client/domain.ts'
import {
  type DomainMigration,
  migrateDomain,
  type MigrationJob,
  migrationJob,
  setMaxDowntime,
  startPostCopy,
} from '#shared/nodes/libvirt/client/migration.ts'
import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { MoveProgress } from '#shared/contracts/vm/moves.ts'
import type { Definition, Guest } from '../../guest.ts'
import type { Relocation, Moving } from '../../relocation.ts'
import { inactiveXml } from '../definition.ts'
import { copyFile, filesOf } from '../files.ts'
import { libvirtAt } from '../libvirt.ts'
import { unlessMissing } from '../state.ts'
import { movedDefinition } from './moved-definition.ts'
import { addressOf, interrupt, watchStandstill } from './post-copy.ts'

const pollEveryMs = 250
const abortMs = 30_000

/** The paths of a guest's files on both nodes, with those that the caller knows. */
function pathsOf(id: string, from: Reached, to: Reached, files: Moving['files']) {
  const [here, there] = [filesOf(from, id), filesOf(to, id)]
  const own = (['log', 'socket', 'variables'] as const).map((name) => ({ from: here[name], to: there[name] }))
  return [...own, ...files]
}

/** Makes the folders of a guest's files; virtlogd and QEMU run as other users, who pass through them. */
async function prepareFolders({ host }: Reached, paths: string[]): Promise<void> {
  const folders = new Set(paths.map((path) => dirname(path)))
  for (const folder of folders) await host.mkdir(folder, { mode: 0o711 })
}

const progressOf = ({ isRunning: _, ...numbers }: MigrationJob): MoveProgress => numbers

/** The present job of a guest; null when it has none, or is gone. */
const jobNow = (libvirt: HostConnection, uuid: string, how: { ended?: boolean } = {}) =>
  migrationJob(libvirt, uuid, how).catch((error: unknown) => {
    if (error instanceof NotFoundError || error instanceof ConflictError) return null
    throw error
  })

async function abortNow(libvirt: HostConnection, uuid: string): Promise<void> {
  const deadline = Date.now() + abortMs
  while ((await jobNow(libvirt, uuid))?.isRunning) {
    await abortJob(libvirt, uuid).catch((error: unknown) => {
      // It has ended meanwhile, or has come too far.
      if (!(error instanceof ConflictError || error instanceof NotFoundError)) throw error
    })
    if (Date.now() > deadline) return
    await delay(pollEveryMs)
  }
}

export const abort: Relocation['abort'] = async ({ node, handle }) => abortNow(await libvirtAt(node), handle)

export const move: Relocation['move'] = async (vm, how, { signal, postCopy, onProgress }) => {
  const [from, to] = await Promise.all([reach(vm.node), reach(how.target)])
  const [source, target] = [libvirtOf(from), libvirtOf(to)]
  const paths = pathsOf(vm.id, from, to, how.files)
  await prepareFolders(
    to,
    paths.map((path) => path.to),
  )
  // UEFI variables travel with the memory.
  for (const path of how.files) await copyFile(from, to, path)
  const [live, persistent] = await Promise.all([
    domainXml(source, vm.handle, { secure: true, migratable: true }),
    inactiveXml(source, vm.handle),
  ])
  const migration: DomainMigration = {
    uuid: vm.handle,
    xml: movedDefinition(live, how.disks, paths),
    persistentXml: movedDefinition(persistent, how.disks, paths),
    address: addressOf(to),
    copiedDisks: how.disks.filter(({ isCopied }) => isCopied).map(({ id }) => id),
    bandwidthMib: how.bandwidthMib,
    autoConverge: how.autoConverge,
    mayPostCopy: how.mayPostCopy,
  }
  const [over, lost] = [new AbortController(), new AbortController()]
  const end = AbortSignal.any([signal, lost.signal])
  const words = { signal: end, over: over.signal, postCopy, onProgress, interrupt: () => interrupt(vm, to) }
  const watching = follow(source, vm.handle, how.maxDowntimeMs, words)
  try {
    // Without the target's libvirt its QEMU may still receive, but would never be told to run the guest.
    await migrateDomain(source, target, migration, () => lost.abort())
  } catch (cause) {
    if (!lost.signal.aborted || signal.aborted) throw cause
    throw new UnavailableError(`Node '${how.target}': its libvirt was lost during the move`, { cause })
  } finally {
    over.abort()
    await watching
  }
}

type Watch = {
  signal: AbortSignal
  over: AbortSignal
  postCopy: AbortSignal
  onProgress: (progress: MoveProgress) => void
  interrupt: () => Promise<void>
}

/**
 * Reads the numbers of a move while it runs, sets its longest pause, switches to post-copy, and ends it when `signal` says so.
 * A post-copy that stands still is interrupted, so that it can be resumed. Never throws.
 */
async function follow(libvirt: HostConnection, uuid: string, maxDowntimeMs: number, watch: Watch) {
  const { signal, over, postCopy, onProgress } = watch
  let isSet = false
  let isSplit = false
  const standsStill = watchStandstill()
  const steer = async (job: MigrationJob) => {
    if (!isSet) {
      await setMaxDowntime(libvirt, uuid, maxDowntimeMs)
      isSet = true
    }
    onProgress(progressOf(job))
    if (postCopy.aborted && !isSplit) {
      await startPostCopy(libvirt, uuid)
      isSplit = true
    }
    const { ram_transferred_bytes: sent, ram_remaining_bytes: remaining } = job
    if (isSplit && standsStill({ sent, remaining })) await watch.interrupt()
  }
  while (!over.aborted) {
    try {
      const job = await migrationJob(libvirt, uuid)
      if (job?.isRunning) await steer(job)
      if (signal.aborted && !isSplit) await abortNow(libvirt, uuid)
    } catch {
      // The move itself tells what is wrong.
    }
    await delay(pollEveryMs, undefined, { signal: over }).catch(() => undefined)
  }
}

export const progress: Relocation['progress'] = async ({ node, handle }) => {
  const job = await jobNow(await libvirtAt(node), handle)
  return job?.isRunning ? progressOf(job) : null
}

export const measured: Relocation['measured'] = async ({ node, handle }) => {
  const job = await jobNow(await libvirtAt(node), handle, { ended: true })
  return job && progressOf(job)
}

export const carry: Relocation['carry'] = async (vm: Definition, { target, disks, files }) => {
  const [from, to] = await Promise.all([reach(vm.node), reach(target)])
  const paths = pathsOf(vm.id, from, to, files)
  await prepareFolders(
    to,
    paths.map((path) => path.to),
  )
  const variables = paths.filter((path) => path.from === filesOf(from, vm.id).variables)
  for (const path of [...files, ...variables]) await copyFile(from, to, path)
  const xml = await unlessMissing(() => inactiveXml(libvirtOf(from), vm.handle), null)
  // A guest without a definition gets one at its next start.
  if (xml !== null) await defineDomain(libvirtOf(to), movedDefinition(xml, disks, paths), { validate: false })
}

export const announce: Relocation['announce'] = async ({ node, handle }: Guest) => {
  const parameters = { initial: 50, max: 550, rounds: 5, step: 100 }
  await monitorCommand(await libvirtAt(node), handle, { execute: 'announce-self', arguments: parameters })
}
