import type { EngineConfig, EngineKind } from '#shared/contracts/cluster/nodes.ts'
import type { EngineDriver } from './engine.ts'
import { docker } from './docker/engine.ts'
import { libvirt } from './libvirt/engine.ts'
import { lxc } from './lxc/engine.ts'
import { lxd } from './lxd/engine.ts'

/** The driver of each engine of the contract, one line for each; a missing one does not compile. */
export const engines = {
  libvirt,
  lxd: lxd('lxd'),
  incus: lxd('incus'),
  docker: docker('docker'),
  podman: docker('podman'),
  lxc,
} satisfies { [K in EngineKind]: EngineDriver<NonNullable<EngineConfig[K]>> }

export type EngineOf<K extends EngineKind> = ReturnType<(typeof engines)[K]['connect']>

// The compiler has checked that the keys are those of the contract.
export const engineKinds = Object.keys(engines) as EngineKind[]

/** Puts other engines in the places of all, such as those of a simulation. */
export function replaceEngines(make: (kind: EngineKind) => EngineDriver<unknown>): void {
  for (const kind of engineKinds) Object.assign(engines, { [kind]: make(kind) })
}
