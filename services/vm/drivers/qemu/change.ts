import { AppError, UnavailableError } from '#shared/errors.ts'
import { domainXml, isAutostart, setAutostart, setMemory, setVcpus } from '#shared/nodes/libvirt/client/domain.ts'
import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import { log } from '#shared/runtime/log.ts'
import type { Definition, Guest } from '../guest.ts'
import type { Changes, CurrentSizes } from '../parts.ts'
import { libvirtAt } from './libvirt.ts'
import { inactiveXml } from './definition.ts'
import { changeMedium } from './xml/media.ts'
import { type Size, sizeOf } from './xml/parse-domain-xml.ts'
import { unlessMissing } from './state.ts'
import { attribute, parseXml } from './xml/xml.ts'

/** Changes of a running domain, by field. @returns whether the guest has taken the change */
const live: Record<string, (libvirt: HostConnection, vm: Definition, now: Size) => Promise<boolean>> = {
  balloon: async (libvirt, vm, now) => {
    // A guest that runs with less than it is to have gets the rest at its next start.
    if (vm.memory !== now.memory && vm.balloon === null) return false
    await setMemory(libvirt, vm.handle, Math.min(vm.balloon ?? vm.memory, now.memory), { live: true })
    return true
  },
  iso: async (_, vm) => changeMedium(vm, 'iso', vm.iso),
  cpus: async (libvirt, vm, now) => {
    if (vm.cpus < now.cpus || vm.cpus > (now.max_cpus ?? now.cpus)) return false
    if (vm.cpus > now.cpus) await setVcpus(libvirt, vm.handle, vm.cpus, { live: true })
    return true
  },
}

/** Changes a guest as far as that needs no new start. @returns the fields that it has taken */
export async function change(vm: Definition, fields: string[], isRunning: boolean): Promise<string[]> {
  const libvirt = await libvirtAt(vm.node)
  const taken: string[] = []
  if (fields.includes('autostart')) {
    await setAutostart(libvirt, vm.handle, vm.autostart)
    taken.push('autostart')
  }
  const wanted = isRunning ? fields.filter((field) => field in live) : []
  if (wanted.length === 0) return taken
  const now = sizeOf(parseXml(await domainXml(libvirt, vm.handle)))
  for (const field of wanted) if (await tried(() => live[field]!(libvirt, vm, now), field)) taken.push(field)
  return taken
}

/** Tries a change; one that the guest refuses waits for its next start. */
async function tried(work: () => Promise<boolean>, field: string): Promise<boolean> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
    log('vms').info({ err: error, field }, 'a running guest did not take a change')
    return false
  }
}

/** libvirt's number of a domain that runs: another one at every start; null for a guest that is off. */
export async function bootIdOf({ node, handle: uuid }: Guest): Promise<string | null> {
  const libvirt = await libvirtAt(node)
  const xml = await unlessMissing(() => domainXml(libvirt, uuid), null)
  return xml === null ? null : (attribute(parseXml(xml), 'id') ?? null)
}

/** The last definitions that were read, by guest and run: they are read every few seconds and change rarely. */
const lastRead = new Map<string, { xml: string; size: Size }>()
const mostRead = 4096

function sizeIn(key: string, xml: string): Size {
  const known = lastRead.get(key)
  if (known?.xml === xml) return known.size
  const size = sizeOf(parseXml(xml))
  if (lastRead.size >= mostRead) lastRead.clear()
  lastRead.set(key, { xml, size })
  return size
}

/** libvirt starts a guest with its memory rounded up to a whole MiB; a record has it rounded down. That is no change. */
export const asDefined = (current: Size, next: Size): Size =>
  current.memory === next.memory + 1 ? { ...current, memory: next.memory } : current

/** The last live balloon of each guest, MiB, and the time since when it has not moved. */
const lastBalloons = new Map<string, { balloon: number; sinceMs: number }>()
const restsAfterMs = 3000

/**
 * libvirt's live value moves while the guest inflates its balloon, and stays at all of the memory in a guest without a
 * driver for it. Only a value that has come to rest elsewhere is a difference.
 */
function rested(uuid: string, { balloon, ...current }: Size, next: Size): CurrentSizes {
  const last = lastBalloons.get(uuid)
  if (balloon === null) return { ...current, balloon: next.balloon }
  if (last?.balloon === balloon) return Date.now() - last.sinceMs < restsAfterMs ? current : { ...current, balloon }
  if (lastBalloons.size >= mostRead) lastBalloons.clear()
  lastBalloons.set(uuid, { balloon, sinceMs: Date.now() })
  return current
}

/** The sizes of a guest as its host has them: for its next start, and those that it runs with where they differ. */
export const sizes: Changes['sizes'] = async ({ node, handle: uuid }) => {
  const libvirt = await libvirtAt(node)
  const read = () => Promise.all([inactiveXml(libvirt, uuid), domainXml(libvirt, uuid), isAutostart(libvirt, uuid)])
  const found = await unlessMissing(read, null)
  if (!found) return null
  const [nextXml, currentXml, autostart] = found
  const next = sizeIn(`${uuid} next`, nextXml)
  const current = asDefined(sizeIn(`${uuid} current`, currentXml), next)
  return { next: { ...next, autostart }, current: rested(uuid, current, next) }
}
