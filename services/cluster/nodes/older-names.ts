/**
 * Names of the API from before a node had engines. A view has them beside the newer ones, and a request may use them;
 * nothing else of the product reads them.
 */
import type { EngineConfig, EngineState, Node } from '#shared/contracts/cluster/nodes.ts'
import type { StoredNode } from './stored-node.ts'

type OlderRequest = {
  libvirt_uri?: string | undefined
  engine_sockets?: { lxd?: string; incus?: string } | undefined
}

const byKind = (engines: EngineState[]) =>
  Object.fromEntries(engines.map((engine) => [engine.kind, engine])) as Partial<Record<string, EngineState>>

/** A record with the older names beside its own. */
export function withOlderNames({ facts, ...node }: StoredNode): Node & Pick<StoredNode, 'sealed_key'> {
  const { libvirt } = byKind(node.engines)
  const { libvirt: configured, lxd, incus } = node.engine_config
  return {
    ...node,
    libvirt_uri: configured?.uri ?? 'qemu:///system',
    engine_sockets: { ...(lxd && { lxd: lxd.socket }), ...(incus && { incus: incus.socket }) },
    hypervisor_status: libvirt?.status === 'absent' ? 'offline' : (libvirt?.status ?? 'unknown'),
    hypervisor_reason: libvirt?.reason ?? null,
    facts: facts && { ...facts, ...versionsOf(libvirt) },
  }
}

const versionsOf = (libvirt: EngineState | undefined) => ({
  libvirt_version: libvirt?.version ?? null,
  qemu_version: libvirt?.components['qemu'] ?? null,
})

/** The configuration of the engines that older names ask for. @param before the configuration so far */
export function configFromOlderNames(
  before: EngineConfig,
  { libvirt_uri, engine_sockets }: OlderRequest,
): EngineConfig {
  const { lxd, incus, ...others } = before
  const sockets = engine_sockets && {
    ...(engine_sockets.lxd !== undefined && { lxd: { socket: engine_sockets.lxd } }),
    ...(engine_sockets.incus !== undefined && { incus: { socket: engine_sockets.incus } }),
  }
  return {
    ...others,
    ...(sockets ?? { ...(lxd && { lxd }), ...(incus && { incus }) }),
    ...(libvirt_uri !== undefined && { libvirt: { uri: libvirt_uri } }),
  }
}
