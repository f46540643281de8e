import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError } from '#shared/errors.ts'
import {
  destroyDomain,
  domainState,
  hasManagedSave,
  resetDomain,
  resumeDomain,
  shutdownDomain,
  startDomain,
  suspendDomain,
  wakeDomain,
} from '#shared/nodes/libvirt/client/domain.ts'
import { setSecret } from '#shared/nodes/libvirt/client/secret.ts'
import { libvirtEngineOf, libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import type { StateAndReason } from '#shared/nodes/libvirt/worker/states.ts'
import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import { domainStates } from '#shared/nodes/libvirt/client/stats.ts'
import type { Hypervisor } from '../driver.ts'
import type { Guest } from '../guest.ts'
import { adoption } from './adoption.ts'
import { freeze, thaw, viewByAgent } from './guest/agent.ts'
import { copies } from './guest/backup-job.ts'
import { bootIdOf, change, sizes } from './change.ts'
import { snapshots } from './snapshot/snapshots.ts'
import { check, defaults } from './host/check.ts'
import { findConsole } from './guest/console.ts'
import { define, shelve, undefine } from './definition.ts'
import { grow, plug, unplug } from './devices.ts'
import { copyFirmware, lackingFirmware } from './files.ts'
import { guards } from './guest/guard.ts'
import { hostState } from './host/host-state.ts'
import { inventory } from './inventory.ts'
import { leftovers } from './leftovers.ts'
import { libvirtAt } from './libvirt.ts'
import { moves } from './guest/mirror-job.ts'
import { query } from './guest/monitor.ts'
import { relocation } from './relocation/relocation.ts'
import { naming } from './naming.ts'
import { serialText } from './guest/serial.ts'
import { isOff, statusOf, unlessMissing } from './state.ts'
import { stats } from './guest/stats.ts'
import { changeMedium } from './xml/media.ts'

type Domain = (libvirt: HostConnection, uuid: string) => Promise<unknown>

/** Does something to the domain of a guest; one that its host does not know is fine. */
async function onDomain({ node, handle: uuid }: Guest, act: Domain): Promise<void> {
  const libvirt = await libvirtAt(node)
  await unlessMissing(() => act(libvirt, uuid), undefined)
}

const awakeWithinMs = 5000

/** Wakes a guest that has suspended itself; QEMU takes the order at once, and tells a moment later that it is done. */
async function wake(libvirt: HostConnection, uuid: string): Promise<void> {
  await wakeDomain(libvirt, uuid)
  const deadline = Date.now() + awakeWithinMs
  while ((await domainState(libvirt, uuid)).state === 'pm_suspended' && Date.now() < deadline) await delay(50)
}

const stop = (guest: Guest) =>
  onDomain(guest, async (libvirt, uuid) => {
    if (!isOff((await domainState(libvirt, uuid)).state)) await destroyDomain(libvirt, uuid)
  })

/** The state of a domain that its host does not have. */
const off: StateAndReason = { state: 'shut_off', reason: 'unknown' }

/** Events after which a guest may have another definition, or run with other devices. */
const changesDefinition: ReadonlySet<string> = new Set(['defined', 'started', 'device_removed'])

/** QEMU, over libvirt. */
export const qemu: Hypervisor = {
  naming,
  engineOf: libvirtEngineOf,

  defaults,
  check,
  define,
  undefine: async (guest) => {
    await stop(guest)
    await undefine(guest)
  },
  start: async ({ node, handle: uuid }) => {
    const libvirt = await libvirtAt(node)
    try {
      await startDomain(libvirt, uuid)
    } catch (error) {
      // A start that is repeated finds it on.
      const isOn = error instanceof ConflictError && !isOff((await domainState(libvirt, uuid)).state)
      if (!isOn) throw error
    }
  },
  stop,
  shutdown: (guest, mode) =>
    onDomain(guest, async (libvirt, uuid) => {
      if (!isOff((await domainState(libvirt, uuid)).state)) await shutdownDomain(libvirt, uuid, mode)
    }),
  status: async ({ node, handle: uuid }) => {
    const libvirt = await libvirtAt(node)
    const found = await unlessMissing(() => domainState(libvirt, uuid), off)
    const isSaved = isOff(found.state) && (await unlessMissing(() => hasManagedSave(libvirt, uuid), false))
    return statusOf({ ...found, isSaved })
  },
  statuses: async (reached) =>
    new Map((await domainStates(libvirtOf(reached))).map((sample) => [sample.uuid, statusOf(sample)])),
  events: (reached, listener) =>
    libvirtEngineOf(reached).events((event) => {
      if (event.kind !== 'object') return listener(event)
      if (event.change !== 'device_removed') listener({ kind: 'guest', handle: event.id })
      if (changesDefinition.has(event.change)) listener({ kind: 'changed', handle: event.id })
    }),

  adoption,
  agent: { view: viewByAgent, freeze, thaw },
  changes: { apply: change, sizes, bootIdOf, isCompared: true },
  consoles: { find: findConsole },
  copies,
  moves,
  devices: { plug, unplug, grow },
  firmware: { copy: copyFirmware, lacking: lackingFirmware },
  guards,
  hostState,
  inventory,
  leftovers,
  media: { change: changeMedium },
  monitor: { query },
  relocation,
  power: {
    reset: (guest) => onDomain(guest, resetDomain),
    pause: (guest) =>
      onDomain(guest, async (libvirt, uuid) => {
        if ((await domainState(libvirt, uuid)).state === 'running') await suspendDomain(libvirt, uuid)
      }),
    resume: (guest) =>
      onDomain(guest, async (libvirt, uuid) => {
        const { state } = await domainState(libvirt, uuid)
        if (state === 'paused') await resumeDomain(libvirt, uuid)
        if (state === 'pm_suspended') await wake(libvirt, uuid)
      }),
  },
  secrets: { set: async (node, secret) => setSecret(await libvirtAt(node), secret) },
  serialLog: { text: serialText },
  shelf: {
    shelve: async (guest) => {
      await stop(guest)
      await shelve(guest)
    },
  },
  snapshots,
  statistics: { read: stats },
}
