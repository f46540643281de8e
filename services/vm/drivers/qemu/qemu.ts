import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError } from '#shared/errors.ts'
import {
  destroyDomain,
  domainState,
  resetDomain,
  resumeDomain,
  shutdownDomain,
  startDomain,
  suspendDomain,
  wakeDomain,
} from '#shared/nodes/libvirt/domain.ts'
import type { HostConnection } from '#shared/nodes/libvirt/host-connection.ts'
import { domainStates } from '#shared/nodes/libvirt/stats.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Guest, Hypervisor } from '../driver.ts'
import { adoption } from './adoption.ts'
import { change, runOf, sizes } from './change.ts'
import { check, suitable } from './check.ts'
import { findConsole } from './console.ts'
import { copies } from './backup-job.ts'
import { define, shelve, undefine } from './definition.ts'
import { freeze, lookByAgent, monitor, thaw } from './agent.ts'
import { grow, plug, unplug } from './devices.ts'
import { copyFirmware } from './files.ts'
import { changeMedium } from './xml/media.ts'
import { serialText } from './serial.ts'
import { isOff, seenAs, unlessMissing } from './state.ts'
import { stats } from './stats.ts'

type Domain = (libvirt: HostConnection, uuid: string) => Promise<unknown>

/** Does something to the domain of a guest; one that its host does not know is fine. */
async function onDomain({ node, domain_uuid }: Guest, act: Domain): Promise<void> {
  const { libvirt } = await reach(node)
  await unlessMissing(() => act(libvirt, domain_uuid), undefined)
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

/** QEMU, over libvirt. */
export const qemu: Hypervisor = {
  suitable,
  check,
  define,
  change,
  sizes,
  runOf,
  undefine: async (guest) => {
    await stop(guest)
    await undefine(guest)
  },
  shelve: async (guest) => {
    await stop(guest)
    await shelve(guest)
  },
  copyFirmware,

  start: async ({ node, domain_uuid }) => {
    const { libvirt } = await reach(node)
    try {
      await startDomain(libvirt, domain_uuid)
    } catch (error) {
      // A start that is repeated finds it on.
      const isOn = error instanceof ConflictError && !isOff((await domainState(libvirt, domain_uuid)).state)
      if (!isOn) throw error
    }
  },
  stop,
  askToStop: (guest, how) =>
    onDomain(guest, async (libvirt, uuid) => {
      if (!isOff((await domainState(libvirt, uuid)).state)) await shutdownDomain(libvirt, uuid, how)
    }),
  act: {
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

  changeMedium,
  look: async ({ node, domain_uuid }) => {
    const { libvirt } = await reach(node)
    return seenAs(
      await unlessMissing(() => domainState(libvirt, domain_uuid), { state: 'shut_off', reason: 'unknown' }),
    )
  },
  lookAtAll: async ({ libvirt }) =>
    new Map((await domainStates(libvirt)).map((sample) => [sample.uuid, seenAs(sample)])),
  follow: ({ libvirt }, heard) =>
    libvirt.subscribe(['lifecycle'], (news) => {
      if (news.kind === 'lifecycle') {
        heard({ kind: 'guest', domain_uuid: news.uuid })
        if (news.event === 'defined' || news.event === 'started') heard({ kind: 'changed', domain_uuid: news.uuid })
      }
      if (news.kind === 'connected' || news.kind === 'disconnected') heard(news)
    }),
  isConnected: ({ libvirt }) => libvirt.isConnected(),

  stats,
  serialText,
  adoption,
  devices: { plug, unplug, grow },
  agent: { look: lookByAgent, freeze, thaw },
  copies,
  monitor,
  consoles: { find: findConsole },
}
