import { setTimeout as delay } from 'node:timers/promises'
import { type DiskSource, nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import { ConflictError } from '#shared/errors.ts'
import { domainState, domainXml } from '#shared/nodes/libvirt/client/domain.ts'
import { beginCommit, diskJob, pivot } from '#shared/nodes/libvirt/client/snapshot.ts'
import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import type { Snapshots } from '../../parts.ts'
import { libvirtAt } from '../libvirt.ts'
import { isOff, unlessMissing } from '../state.ts'
import { sourceOf } from '../xml/disk-source.ts'
import { targetOf } from '../xml/parse-domain-xml.ts'
import { at, type Element, elements, parseXml } from '../xml/xml.ts'

const pollEveryMs = 100

/** The images that a disk reads, the one that the guest writes first. */
export function chainIn(domain: Element, disk: string): string[] {
  const chain: string[] = []
  let layer: Element | undefined = elements(at(domain, 'devices'), 'disk').find((each) => targetOf(each) === disk)
  while (layer) {
    const source = sourceOf(layer)
    if (source) chain.push(nameOfSource(source))
    layer = at(layer, 'backingStore')
  }
  return chain
}

/** The chain of a disk of a guest that runs; null for one that is off. */
async function chainOf(libvirt: HostConnection, uuid: string, disk: string): Promise<string[] | null> {
  const state = await unlessMissing(() => domainState(libvirt, uuid), null)
  return state === null || isOff(state.state) ? null : chainIn(parseXml(await domainXml(libvirt, uuid)), disk)
}

/** Waits until the top is gone from the chain. A job on the guest's own image ends only when it is told to pivot. */
async function untilMerged(
  libvirt: HostConnection,
  uuid: string,
  disk: string,
  top: DiskSource,
  signal: AbortSignal,
): Promise<boolean> {
  for (;;) {
    signal.throwIfAborted()
    const chain = await chainOf(libvirt, uuid, disk)
    if (chain === null) return false
    const place = chain.indexOf(nameOfSource(top))
    if (place < 0) return true
    const job = await unlessMissing(() => diskJob(libvirt, uuid, disk), null)
    if (!job) {
      // It may have ended since the chain was read.
      if (!(await chainOf(libvirt, uuid, disk))?.includes(nameOfSource(top))) continue
      throw new ConflictError(`QEMU ended the merge of ${nameOfSource(top)} before it was whole`)
    }
    if (place === 0 && job.done === job.total)
      await pivot(libvirt, uuid, disk).catch((error: unknown) => {
        // The guest has written meanwhile.
        if (!(error instanceof ConflictError)) throw error
      })
    await delay(pollEveryMs, undefined, { signal })
  }
}

export const merge: Snapshots['merge'] = async ({ node, handle: uuid }, { disk, top, base }, { signal }) => {
  const libvirt = await libvirtAt(node)
  const chain = await chainOf(libvirt, uuid, disk)
  if (chain === null) return false
  const place = chain.indexOf(nameOfSource(top))
  if (place < 0) return true
  // A job that an earlier try has begun goes on.
  if (!(await diskJob(libvirt, uuid, disk)))
    await beginCommit(libvirt, uuid, disk, nameOfSource(base), place === 0 ? null : nameOfSource(top))
  return untilMerged(libvirt, uuid, disk, top, signal)
}
