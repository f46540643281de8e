import { isSameSource } from '#shared/contracts/storage/disk-source.ts'
import { AppError, ConflictError, UnavailableError } from '#shared/errors.ts'
import { attachDevice, detachDevice, domainXml, resizeBlock } from '#shared/nodes/libvirt/client/domain.ts'
import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import type { Guest } from '../guest.ts'
import type { Device } from '../parts.ts'
import { libvirtAt } from './libvirt.ts'
import { inactiveXml } from './definition.ts'
import type { DiskRecord } from '../../model.ts'
import { sourceOf } from './xml/disk-source.ts'
import { isCdrom, macOf, targetOf } from './xml/parse-domain-xml.ts'
import { unlessMissing } from './state.ts'
import { at, attribute, type Element, elements, parseXml, remove, writeXml } from './xml/xml.ts'

const lookEveryMs = 1000
/** The time of a guest that runs to answer a request which was cancelled. */
const afterAbortMs = 10_000

/** The domain as it runs; null for one that is off. */
async function liveDomain(libvirt: HostConnection, uuid: string): Promise<Element | null> {
  const xml = await unlessMissing(() => domainXml(libvirt, uuid), null)
  const domain = xml === null ? null : parseXml(xml)
  return domain && attribute(domain, 'id') !== undefined ? domain : null
}

const inDomain = (domain: Element, device: Device): Element | undefined =>
  'disk' in device
    ? elements(at(domain, 'devices'), 'disk').find((disk) => !isCdrom(disk) && isOf(disk, device.disk))
    : elements(at(domain, 'devices'), 'interface').find((nic) => macOf(nic) === device.nic.mac)

/** True when a disk of a domain is this one: by its source, at any place. */
function isOf(there: Element, { source }: DiskRecord): boolean {
  const found = sourceOf(there)
  return found !== null && isSameSource(found, source)
}

/** @throws ConflictError when a domain has another disk in the place of this one */
function requirePlace(domain: Element, { id }: DiskRecord): void {
  if (elements(at(domain, 'devices'), 'disk').some((disk) => targetOf(disk) === id))
    throw new ConflictError(`The guest still runs with another disk at ${id}`)
}

const nameOf = (device: Device) => ('disk' in device ? `disk ${device.disk.id}` : `NIC ${device.nic.mac}`)

/** Plugs a device of the definition into a guest that runs; a guest that is off gets it at its start. */
export async function plug({ node, handle: uuid }: Guest, device: Device): Promise<void> {
  const libvirt = await libvirtAt(node)
  const live = await liveDomain(libvirt, uuid)
  if (!live) return
  const there = inDomain(live, device)
  if (there) return
  if ('disk' in device) requirePlace(live, device.disk)
  const next = parseXml(await inactiveXml(libvirt, uuid))
  const wanted = inDomain(next, device)
  if (!wanted) throw new ConflictError(`The definition of the guest has no ${nameOf(device)}`)
  if (attribute(at(wanted, 'target'), 'bus') === 'scsi') await plugController(libvirt, uuid, { live, next }, wanted)
  // Its PCI address in the running guest is another one, and the boot order is decided at the start.
  remove(wanted, 'address', 'alias', 'boot')
  await attachDevice(libvirt, uuid, writeXml(wanted), { live: true })
}

/** A guest that was started without a SCSI controller needs that of its definition; libvirt itself would take another kind. */
async function plugController(
  libvirt: HostConnection,
  uuid: string,
  { live, next }: { live: Element; next: Element },
  disk: Element,
): Promise<void> {
  const index = attribute(at(disk, 'address'), 'controller') ?? '0'
  const find = (domain: Element) =>
    elements(at(domain, 'devices'), 'controller').find(
      (each) => attribute(each, 'type') === 'scsi' && (attribute(each, 'index') ?? '0') === index,
    )
  const wanted = find(next)
  if (find(live) || !wanted) return
  remove(wanted, 'address', 'alias')
  await attachDevice(libvirt, uuid, writeXml(wanted), { live: true })
}

/**
 * Asks a guest to let go of a device, and waits until it has. QEMU cannot take the request back: after an abort it is
 * still waited for, so that the caller plugs in again what the guest lets go of late.
 */
export async function unplug(
  { node, handle: uuid }: Guest,
  device: Device,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const libvirt = await libvirtAt(node)
  const find = async () => {
    const live = await liveDomain(libvirt, uuid)
    return live && inDomain(live, device)
  }
  const there = await find()
  if (!there) return true
  let deadline = Date.now() + timeoutMs
  let wake = () => {}
  let hasRefused = false
  let abortedAt: number | undefined
  const unsubscribe = libvirt.subscribe(['device_removed', 'device_removal_failed', 'lifecycle'], (news) => {
    hasRefused ||= news.kind === 'device_removal_failed' && news.alias === attribute(at(there, 'alias'), 'name')
    wake()
  })
  try {
    await ask(libvirt, uuid, there)
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      if (signal?.aborted) deadline = Math.min(deadline, (abortedAt ??= Date.now()) + afterAbortMs)
      const isGone = !(await find())
      const leftMs = deadline - Date.now()
      if (isGone || leftMs <= 0 || hasRefused) signal?.throwIfAborted()
      if (isGone) return true
      if (leftMs <= 0 || hasRefused) return false
      const timer = setTimeout(resolve, Math.min(leftMs, lookEveryMs))
      await promise
      clearTimeout(timer)
    }
  } finally {
    unsubscribe()
  }
}

async function ask(libvirt: HostConnection, uuid: string, device: Element): Promise<void> {
  try {
    await detachDevice(libvirt, uuid, writeXml(device), { live: true })
  } catch (error) {
    if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
    // The guest was asked before, or has let go just now: QEMU's "already in the process of unplug" and libvirt's "not found".
    if (!/in the process of unplug|not found|no matching/i.test(error.message)) throw error
  }
}

/** Grows a disk of a guest that runs; QEMU makes the image larger itself. One that it has from its next start on stays. */
export async function grow({ node, handle: uuid }: Guest, disk: DiskRecord, bytes: number): Promise<void> {
  const libvirt = await libvirtAt(node)
  const live = await liveDomain(libvirt, uuid)
  const there = live && inDomain(live, { disk })
  if (there) await resizeBlock(libvirt, uuid, targetOf(there), bytes)
}
