/** CPUs that a host can give its guests, and the one that several hosts have in common. */
import { XMLParser } from 'fast-xml-parser'
import type { CpuBaseline, CpuQuery, HostCpu } from '../../engine.ts'
import type { Libvirt } from '../connection/connection.ts'
import { domainCapabilities, virtTypeOf } from './host-facts.ts'

/** virConnectBaselineCPUFlags. */
const EXPAND_FEATURES = 1 << 0
const MIGRATABLE = 1 << 1

type Feature = { name: string; policy?: string }
type Cpu = { model?: string | { '#text': string }; vendor?: string; feature?: Feature[] }

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '',
  isArray: (name) => name === 'feature' || name === 'mode',
})

// libvirt's schema (cputypes.rng) says that the parser finds this.
const cpuIn = (xml: string) => (parser.parse(xml) as { cpu: Cpu }).cpu

const modelOf = ({ model }: Cpu) => (typeof model === 'string' ? model : model?.['#text']) ?? 'unknown'

const featuresOf = ({ feature = [] }: Cpu) =>
  feature
    .filter(({ policy }) => policy !== 'disable' && policy !== 'forbid')
    .map(({ name }) => name)
    .toSorted()

const platformOf = ({ architecture, accel }: CpuQuery) => ({ arch: architecture, virtType: virtTypeOf(accel) })

/**
 * Cuts the CPU of mode `host-model` out of domain capabilities, as the `<cpu>` element that the baseline function takes.
 * @returns undefined when the host has no such mode
 */
export function hostModelIn(capabilities: string): string | undefined {
  const found = /<mode name='host-model' supported='yes'>([^]*?)<\/mode>/.exec(capabilities)?.[1]
  return found && `<cpu>${found}</cpu>`
}

/** The CPU of a host's guests; undefined when its QEMU has none for this query. */
export async function hostCpu(libvirt: Libvirt, query: CpuQuery): Promise<HostCpu | undefined> {
  const description = hostModelIn(await domainCapabilities(libvirt, platformOf(query)))
  if (description === undefined) return undefined
  const expanded = await baseline(libvirt, query, [description], EXPAND_FEATURES)
  return { description, model: modelOf(cpuIn(description)), features: featuresOf(expanded) }
}

/** The CPU that all these hosts can give, with features that survive a migration only. */
export async function cpuBaseline(libvirt: Libvirt, query: CpuQuery, descriptions: string[]): Promise<CpuBaseline> {
  const named = await baseline(libvirt, query, descriptions, MIGRATABLE)
  const expanded = await baseline(libvirt, query, descriptions, MIGRATABLE | EXPAND_FEATURES)
  return { model: modelOf(named), vendor: named.vendor ?? null, features: featuresOf(expanded) }
}

async function baseline(libvirt: Libvirt, query: CpuQuery, cpus: string[], flags: number): Promise<Cpu> {
  const platform = { emulator: null, machine: null, ...platformOf(query) }
  return cpuIn(await libvirt.call('baselineCpu', { ...platform, cpus, flags }, { isSlow: true }))
}
