import type { Architecture } from '#shared/contracts/vm/hardware.ts'
import { ValidationError } from '#shared/errors.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { domainCapabilities } from '#shared/nodes/libvirt/client/host-facts.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { platforms } from './platforms.ts'
import { at, attribute, elements, parseXml, textOf } from '../xml/xml.ts'

/** The capabilities of a node's QEMU for guests of an architecture. */
export type Capabilities = {
  /** `host-model`, `host-passthrough`, `maximum`: those that it can. */
  modes: string[]
  /** Models by name, and whether this host can run them. */
  models: Map<string, boolean>
  hasUefi: boolean
  buses: string[]
  maxCpus: number
}

// The question takes libvirt 10 ms and more, and the answer changes when a package is installed.
const freshMs = 10_000
const known = new Map<string, { at: number; capabilities: Promise<Capabilities | null> }>()

/** A guest of the host's own architecture runs with KVM where the host has it. */
export const accelFor = ({ node }: Pick<Reached, 'node'>, architecture: Architecture) =>
  node.architecture === architecture && node.accel === 'kvm' ? 'kvm' : 'tcg'

/** @returns null when the node has no QEMU for the architecture */
export async function capabilitiesOf(reached: Reached, architecture: Architecture): Promise<Capabilities | null> {
  const key = `${reached.node.id} ${architecture} ${accelFor(reached, architecture)}`
  const entry = known.get(key)
  if (entry && Date.now() - entry.at < freshMs) return entry.capabilities
  const capabilities = ask(reached, architecture)
  known.set(key, { at: Date.now(), capabilities })
  const found = await capabilities.catch((error: unknown) => {
    known.delete(key)
    throw error
  })
  if (!found) known.delete(key)
  return found
}

async function ask(reached: Reached, arch: Architecture): Promise<Capabilities | null> {
  const virtType = accelFor(reached, arch) === 'kvm' ? 'kvm' : 'qemu'
  try {
    return parse(await domainCapabilities(libvirtOf(reached), { arch, machine: platforms[arch].machine, virtType }))
  } catch (error) {
    // libvirt's answer when it finds no emulator.
    if (error instanceof ValidationError) return null
    throw error
  }
}

/** Reads libvirt's "Domain capabilities XML format". */
export function parse(xml: string): Capabilities {
  const root = parseXml(xml)
  const cpu = elements(at(root, 'cpu'), 'mode').filter((mode) => attribute(mode, 'supported') === 'yes')
  const custom = cpu.find((mode) => attribute(mode, 'name') === 'custom')
  const values = (name: string, ...path: string[]) =>
    elements(
      elements(at(root, ...path), 'enum').find((each) => attribute(each, 'name') === name),
      'value',
    ).map(textOf)
  return {
    modes: cpu.map((mode) => attribute(mode, 'name') ?? '').filter((name) => name !== 'custom'),
    models: new Map(elements(custom, 'model').map((model) => [textOf(model), attribute(model, 'usable') !== 'no'])),
    hasUefi: values('firmware', 'os').includes('efi'),
    buses: values('bus', 'devices', 'disk'),
    maxCpus: Number(attribute(at(root, 'vcpu'), 'max') ?? 1),
  }
}
