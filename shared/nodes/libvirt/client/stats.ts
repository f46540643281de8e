/** Bulk statistics of domains: one libvirt call for all of them. */
import type { Libvirt } from '../connection/connection.ts'
import type { Sample } from '../worker/samples.ts'
import type { StateAndReason } from '../worker/states.ts'

/** virDomainStatsTypes. */
const groups = { state: 1 << 0, cpu: 1 << 1, balloon: 1 << 2, vcpu: 1 << 3, net: 1 << 4, block: 1 << 5 }
const everything = Object.values(groups).reduce((sum, group) => sum | group, 0)
const activeOnly = 1 << 0
const noWait = 1 << 29

/** `run` is another number at every start of the domain. */
export type DomainSample = Sample & { uuid: string; name: string; run: number }

export type SampleOptions = {
  /** Only these domains; those that do not exist are left out. Default: all that run. */
  uuids?: readonly string[]
  /** Which groups to ask for. Default: all. */
  only?: readonly (keyof typeof groups)[]
  /** Wait for a domain whose QEMU is busy or hangs, up to libvirt's 30 s, rather than leave its groups out. */
  wait?: boolean
}

/** Statistics of the running domains, or of those asked for, in one call. */
export const domainSamples = (libvirt: Libvirt, options: SampleOptions = {}): Promise<DomainSample[]> => {
  const { uuids, only, wait = false } = options
  const wanted = only ? only.reduce((sum, group) => sum | groups[group], groups.state) : everything
  const flags = (uuids ? 0 : activeOnly) + (wait ? 0 : noWait)
  return libvirt.call('samples', { groups: wanted, flags, uuids })
}

export type DomainStateSample = StateAndReason & { uuid: string; name: string; isSaved: boolean }

/** The states of all domains, running or not: the cheapest bulk question (it does not ask QEMU). */
export const domainStates = (libvirt: Libvirt): Promise<DomainStateSample[]> =>
  libvirt.call('states', { groups: groups.state, flags: noWait })
