import { setTimeout as delay } from 'node:timers/promises'
import type { Reached } from '#shared/nodes/nodes.ts'
import { type DomainSample, domainSamples } from '#shared/nodes/libvirt/client/stats.ts'
import { libvirtEngineOf } from '#shared/nodes/libvirt/engine.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { GuestSample, GuestSource, GuestValues } from '../guest-source.ts'

/** Time for the whole answer. After it only the groups are read that need no monitor of a QEMU. */
const patienceMs = 2500
const withoutMonitor = ['cpu', 'vcpu', 'net'] as const

/**
 * libvirt, by one bulk call for all running domains of a node. It does not wait for a domain with a job, such as the target
 * of a migration: the groups that need its monitor are missing. A QEMU that hangs holds up the call that asks it first;
 * later calls leave it out.
 */
export const libvirtGuests: GuestSource = {
  name: 'libvirt',
  measure: async (reached: Reached) => {
    const engine = libvirtEngineOf(reached)
    const whole = domainSamples(engine.client)
    // Its end after the deadline is of no interest.
    whole.catch(() => undefined)
    const found = await within(whole, patienceMs)
    if (found) return found.map((sample) => sampleOf(sample, true))
    const part = await within(domainSamples(engine.client, { only: withoutMonitor }), patienceMs)
    if (!part)
      throw new UnavailableError(`Node '${reached.node.id}': libvirt did not answer in ${(2 * patienceMs) / 1000} s`)
    return part.map((sample) => sampleOf(sample, false))
  },
}

/** The result, or undefined after the time. */
async function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  const end = new AbortController()
  try {
    return await Promise.race([work, delay(ms, undefined, { signal: end.signal })])
  } finally {
    end.abort()
  }
}

function sampleOf(sample: DomainSample, isWhole: boolean): GuestSample {
  const isComplete = sample.balloon !== undefined
  return {
    handle: sample.uuid,
    run: String(sample.run),
    quality: isComplete ? 'fresh' : 'estimated',
    ...(!isComplete && {
      because: isWhole
        ? 'The guest is busy with a job, such as a migration: memory and disks were not read'
        : 'A guest of the node does not answer: memory and disks were not read',
    }),
    values: valuesOf(sample),
  }
}

const kib = (value: number | undefined) => (value === undefined ? undefined : value * 1024)
const sum = <T>(items: readonly T[], of: (item: T) => number) => items.reduce((total, item) => total + of(item), 0)

/** Nanoseconds as seconds with six decimals, which stay exact for longer than a century. */
const seconds = (nanoseconds: number | undefined) =>
  nanoseconds === undefined ? undefined : Math.round(nanoseconds / 1000) / 1e6

function valuesOf({ cpu_time_ns, vcpus, balloon, block, net }: DomainSample): GuestValues {
  const hasBlock = balloon !== undefined || block.length > 0
  const { current_kib, available_kib, usable_kib, unused_kib, rss_kib } = balloon ?? {}
  const left = usable_kib ?? unused_kib
  const used = available_kib === undefined || left === undefined ? undefined : available_kib - left
  const all = {
    up: 1,
    vcpus: vcpus?.current,
    cpu_seconds: seconds(cpu_time_ns),
    memory_bytes: kib(current_kib),
    memory_used_bytes: kib(used),
    memory_rss_bytes: kib(rss_kib),
    ...(hasBlock && {
      disk_read_bytes: sum(block, (each) => each.rd_bytes),
      disk_written_bytes: sum(block, (each) => each.wr_bytes),
      disk_reads: sum(block, (each) => each.rd_reqs),
      disk_writes: sum(block, (each) => each.wr_reqs),
    }),
    network_received_bytes: sum(net, (each) => each.rx_bytes),
    network_sent_bytes: sum(net, (each) => each.tx_bytes),
  }
  // Exactly the fields that are not undefined are left.
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as GuestValues
}
