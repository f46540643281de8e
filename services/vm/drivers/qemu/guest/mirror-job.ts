import { setTimeout as delay } from 'node:timers/promises'
import { type DiskSource, isSameSource, nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { domainState, domainXml } from '#shared/nodes/libvirt/client/domain.ts'
import { abandonJob, beginMirror, diskJob, limitJob, pivot } from '#shared/nodes/libvirt/client/snapshot.ts'
import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import type { Guest } from '../../guest.ts'
import type { CopyTarget, Moves } from '../../parts.ts'
import { libvirtAt } from '../libvirt.ts'
import { isOff, unlessMissing } from '../state.ts'
import { sourceElement, sourceOf } from '../xml/disk-source.ts'
import { targetOf } from '../xml/parse-domain-xml.ts'
import { at, attribute, type Element, elements, parseXml, writeXml } from '../xml/xml.ts'

const pollEveryMs = 100
/** QEMU first finishes the requests that it has begun. */
const abortMs = 30_000
/** A guest that writes all the time may need several tries. */
const pivotMs = 60_000

/** The XML of an image that a disk is copied to. */
export const mirrorOf = ({ source, format }: CopyTarget): string =>
  writeXml({
    name: 'disk',
    attributes: { type: source.type },
    children: [{ name: 'driver', attributes: { type: format }, children: [] }, sourceElement(source)],
  })

/** The images of a disk in the XML of a domain that runs. `mirror`: the one that it is copied to. */
export function imagesIn(domain: Element, disk: string) {
  const found = elements(at(domain, 'devices'), 'disk').find((each) => targetOf(each) === disk)
  const mirror = at(found, 'mirror')
  const source = found ? sourceOf(found) : null
  if (!mirror) return { source, mirror: null, isReady: false }
  // The XML of a mirror has the type as an attribute of its own, where that of a disk has `type`.
  const asDisk = { ...mirror, attributes: { type: attribute(mirror, 'type') ?? 'file' } }
  return { source, mirror: sourceOf(asDisk), isReady: attribute(mirror, 'ready') === 'yes' }
}

/** The images of a disk; null for a guest that is off. */
async function imagesOf(libvirt: HostConnection, uuid: string, disk: string) {
  const state = await unlessMissing(() => domainState(libvirt, uuid), null)
  if (state === null || isOff(state.state)) return null
  return imagesIn(parseXml(await domainXml(libvirt, uuid)), disk)
}

const isIt = (present: DiskSource | null, wanted: DiskSource) => present !== null && isSameSource(present, wanted)

/** True when the definition of a guest that is off names the image: libvirt writes that when it switches the guest over. */
async function isDefinedWith(libvirt: HostConnection, uuid: string, { disk, source }: CopyTarget): Promise<boolean> {
  const xml = await unlessMissing(() => domainXml(libvirt, uuid), null)
  return xml !== null && isIt(imagesIn(parseXml(xml), disk).source, source)
}

async function lookAt({ node, handle: uuid }: Guest, disk: string) {
  const libvirt = await libvirtAt(node)
  return { libvirt, uuid, images: await imagesOf(libvirt, uuid, disk) }
}

const ended = ({ id }: Guest, { disk, source }: CopyTarget) =>
  new ConflictError(
    `QEMU ended the copy of disk ${disk} of '${id}' to ${nameOfSource(source)} before it was whole: the guest goes on with the disk as it was`,
  )

/** Moves by libvirt's block copy, a mirror job of QEMU. */
export const moves: Moves = {
  begin: async (guest, target, { bytesPerSecond }) => {
    const { disk, source } = target
    const { libvirt, uuid, images } = await lookAt(guest, disk)
    if (!images) throw new ConflictError(`Virtual machine '${guest.id}' is off by now: move its disk again`)
    if (isIt(images.source, source)) return
    if (images.mirror && !isIt(images.mirror, source))
      throw new ConflictError(`Disk ${disk} of '${guest.id}' is being copied to ${nameOfSource(images.mirror)} already`)
    // With its limit from the first byte on: QEMU copies a small disk before a later call could set one.
    if (!images.mirror) await beginMirror(libvirt, uuid, disk, mirrorOf(target), bytesPerSecond ?? 0)
    else if (bytesPerSecond !== null) await limitJob(libvirt, uuid, disk, bytesPerSecond)
  },

  follow: async (guest, target, { signal, onProgress }) => {
    for (;;) {
      signal.throwIfAborted()
      const { libvirt, uuid, images } = await lookAt(guest, target.disk)
      if (!images) throw new ConflictError(`Virtual machine '${guest.id}' was switched off while its disk was moved`)
      if (isIt(images.source, target.source)) return
      const job = images.mirror && (await unlessMissing(() => diskJob(libvirt, uuid, target.disk), null))
      if (!job) throw ended(guest, target)
      if (job.total > 0) onProgress(job.done, job.total)
      if (images.isReady && job.done === job.total) return
      await delay(pollEveryMs, undefined, { signal })
    }
  },

  isSame: async (guest, target) => {
    const { libvirt, uuid, images } = await lookAt(guest, target.disk)
    if (!images?.isReady || !isIt(images.mirror, target.source)) return false
    const job = await diskJob(libvirt, uuid, target.disk)
    return job !== null && job.done === job.total
  },

  finish: async (guest, target) => {
    const deadline = Date.now() + pivotMs
    for (;;) {
      const { libvirt, uuid, images } = await lookAt(guest, target.disk)
      if (!images) return (await isDefinedWith(libvirt, uuid, target)) ? true : null
      if (isIt(images.source, target.source) && !images.mirror) return true
      if (!isIt(images.mirror, target.source)) return false
      if (Date.now() > deadline)
        throw new UnavailableError(`QEMU has not switched disk ${target.disk} of '${guest.id}'`)
      await pivot(libvirt, uuid, target.disk).catch((error: unknown) => {
        // The guest has written meanwhile, or the job has just ended.
        if (!(error instanceof ConflictError)) throw error
      })
      await delay(pollEveryMs)
    }
  },

  abort: async (guest, target) => {
    const deadline = Date.now() + abortMs
    for (;;) {
      const { libvirt, uuid, images } = await lookAt(guest, target.disk)
      if (!images || !isIt(images.mirror, target.source)) return
      if (Date.now() > deadline)
        throw new UnavailableError(`QEMU has not ended the copy of disk ${target.disk} of '${guest.id}'`)
      await abandonJob(libvirt, uuid, target.disk).catch((error: unknown) => {
        if (!(error instanceof ConflictError)) throw error
      })
      await delay(pollEveryMs)
    }
  },
}
