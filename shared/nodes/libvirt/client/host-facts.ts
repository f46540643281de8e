/** Facts of a host, by its libvirt. */
import type { Libvirt } from '../connection/connection.ts'

export type Versions = { libvirt: string; hypervisor: string }
export type NodeInfo = {
  /** Processor architecture, such as `x86_64`. */
  model: string
  memoryMib: number
  /** Processors that are online. */
  cpus: number
  mhz: number
  numaNodes: number
  socketsPerNode: number
  coresPerSocket: number
  threadsPerCore: number
}

/** libvirt packs versions as major × 1,000,000 + minor × 1,000 + release. */
export const decodeVersion = (packed: number): string =>
  [Math.floor(packed / 1_000_000), Math.floor(packed / 1_000) % 1_000, packed % 1_000].join('.')

/** Decodes struct virNodeInfo (libvirt/libvirt-host.h) of a 64-bit machine. */
export const decodeNodeInfo = (bytes: Uint8Array): NodeInfo => {
  const info = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const number = (index: number) => info.readUInt32LE(40 + index * 4)
  return {
    model: info.toString('latin1', 0, Math.max(0, info.indexOf(0))),
    memoryMib: Math.floor(Number(info.readBigUInt64LE(32)) / 1024),
    cpus: number(0),
    mhz: number(1),
    numaNodes: number(2),
    socketsPerNode: number(3),
    coresPerSocket: number(4),
    threadsPerCore: number(5),
  }
}

/** Versions of the host's libvirt and of its hypervisor (QEMU). */
export const versions = async (libvirt: Libvirt): Promise<Versions> => {
  const packed = await libvirt.call('versions', undefined)
  return { libvirt: decodeVersion(packed.libvirt), hypervisor: decodeVersion(packed.hypervisor) }
}

export const hostname = (libvirt: Libvirt): Promise<string> =>
  libvirt.call('connectText', { what: 'virConnectGetHostname' })

export const nodeInfo = async (libvirt: Libvirt): Promise<NodeInfo> =>
  decodeNodeInfo(await libvirt.call('nodeInfo', undefined))

/** Memory that nothing uses, not even a cache. */
export const freeMemoryMib = async (libvirt: Libvirt): Promise<number> =>
  Math.floor((await libvirt.call('freeMemoryBytes', undefined)) / 2 ** 20)

/** @throws NotFoundError for a network that the host does not have */
export const isNetworkActive = (libvirt: Libvirt, name: string): Promise<boolean> =>
  libvirt.call('isNetworkActive', { name })

/** The host's capabilities as XML. The first call after libvirtd's start takes seconds: it probes QEMU. */
export const capabilities = (libvirt: Libvirt): Promise<string> =>
  libvirt.call('connectText', { what: 'virConnectGetCapabilities' }, { isSlow: true })

export type DomainCapabilitiesQuery = { emulator?: string; arch?: string; machine?: string; virtType?: 'kvm' | 'qemu' }

/** libvirt's word for a way of acceleration. */
export const virtTypeOf = (accel: 'kvm' | 'tcg'): 'kvm' | 'qemu' => (accel === 'kvm' ? accel : 'qemu')

/** Capabilities for guests of this kind, as XML. Default: libvirt's choice of each. */
export const domainCapabilities = (libvirt: Libvirt, query: DomainCapabilitiesQuery = {}): Promise<string> => {
  const { emulator = null, arch = null, machine = null, virtType = null } = query
  return libvirt.call('domainCapabilities', { emulator, arch, machine, virtType }, { isSlow: true })
}
