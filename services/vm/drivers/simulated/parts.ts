import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { activityOf, ranSeconds } from '#shared/nodes/simulated/activity.ts'
import type { SimulatedGuest } from '#shared/nodes/simulated/world.ts'
import type { Guest } from '../guest.ts'
import type { Parts, Snapshots, Stats } from '../parts.ts'
import { type Guests, defined } from './guests.ts'

const mib = 2 ** 20
/** The part of the memory of a guest that a snapshot keeps. */
const keptShare = 0.4

/** The optional parts of a simulated hypervisor. */
export function simulatedParts(guests: Guests): Parts {
  const { find, save, act } = guests
  return {
    changes: {
      isCompared: false,
      apply: async (definition, fields, isRunning) => {
        const guest = defined(definition, find(definition))
        await save(isRunning ? guest : { ...guest, current: guest.sizes })
        return isRunning ? fields.filter((field) => field === 'autostart') : fields
      },
      sizes: async (guest) => {
        const found = find(guest)
        return found && { next: found.sizes, current: found.current }
      },
      bootIdOf: async (guest) => {
        const found = find(guest)
        return found && found.status !== 'stopped' ? String(found.runs) : null
      },
    },
    power: {
      reset: async (guest) => {
        await act(guest, 'stop')
        await act(guest, 'start')
      },
      pause: (guest) => act(guest, 'pause'),
      resume: (guest) => act(guest, 'resume'),
    },
    devices: {
      plug: async () => undefined,
      unplug: async () => true,
      grow: async () => undefined,
    },
    media: { change: async (guest) => find(guest) !== null },
    serialLog: { text: async (guest) => serialOf(find(guest)) },
    statistics: { read: async (guest) => statsOf(find(guest)) },
    snapshots: snapshotsOf(guests),
  }
}

/** The text that a guest has written since its start. */
function serialOf(guest: SimulatedGuest | null): string {
  if (!guest || guest.status === 'stopped') return ''
  return `[    0.000000] Linux version 6.12.0-simulated\r\n[    1.204711] systemd[1]: Hostname set to <${guest.name}>.\r\n\r\n${guest.name} login: `
}

function statsOf(guest: SimulatedGuest | null): Stats {
  if (!guest || guest.status === 'stopped')
    return { cpu_time_ns: null, memory_mib: null, memory_rss_mib: null, disks: [], nics: [] }
  const { memory, cpus } = guest.current
  const all = activityOf(guest.id, ranSeconds(guest, Date.now()), { cpus, memoryBytes: memory * mib })
  return {
    cpu_time_ns: Math.round(all.cpu_seconds * 1e9),
    memory_mib: memory,
    memory_rss_mib: all.memory_rss_bytes / mib,
    disks: guest.disks.map(({ id, size_bytes }, index) => ({
      id,
      read_bytes: index === 0 ? all.disk_read_bytes : 0,
      written_bytes: index === 0 ? all.disk_written_bytes : 0,
      capacity_bytes: size_bytes,
      allocation_bytes: null,
    })),
    nics: guest.nics.map((name, index) => ({
      name,
      received_bytes: index === 0 ? all.network_received_bytes : 0,
      sent_bytes: index === 0 ? all.network_sent_bytes : 0,
    })),
  }
}

/** Snapshots of which the storage keeps the disks: only the fact that there is memory is kept here. */
function snapshotsOf({ find, save, act }: Guests): Snapshots {
  const nothing = { bytes: 0, has_variables: false, has_tpm: false }
  const requireGuest = (guest: Guest): SimulatedGuest => {
    const found = find(guest)
    if (!found) throw new NotFoundError(`The simulation has no guest '${guest.name}'`)
    return found
  }
  const without = (guest: SimulatedGuest, key: string) => guest.kept.filter((each) => each.key !== key)
  const keep = async (guest: Guest, key: string, memory_bytes: number | null) => {
    const found = requireGuest(guest)
    await save({ ...found, kept: [...without(found, key), { key, memory_bytes }] })
  }
  return {
    // The storage of a simulation takes snapshots itself.
    switchDisks: async () => {
      throw new ConflictError('Simulated storage takes its snapshots itself')
    },
    isSwitched: async () => false,
    merge: async () => false,
    keepDefinition: async (guest, key) => {
      await keep(guest, key, null)
      return false
    },
    keepState: async () => nothing,
    kept: async (guest, key) => ({
      ...nothing,
      memory_bytes: requireGuest(guest).kept.find((each) => each.key === key)?.memory_bytes ?? null,
    }),
    restoreState: async () => undefined,
    saveMemory: async (guest, key) => {
      const bytes = Math.round(requireGuest(guest).current.memory * mib * keptShare)
      await keep(guest, key, bytes)
      return bytes
    },
    restoreMemory: async (guest, _key, _disks, { paused }) => {
      await act(guest, 'start')
      if (paused) await act(guest, 'pause')
    },
    drop: async (guest, key) => {
      const found = find(guest)
      if (found) await save({ ...found, kept: without(found, key) })
    },
    pack: async () => null,
    unpack: async () => undefined,
  }
}
