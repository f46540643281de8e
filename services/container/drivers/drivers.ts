import type { Container } from '#shared/contracts/container/containers.ts'
import { docker } from './docker/docker.ts'
import type { ContainerEngine } from './driver.ts'
import { lxc } from './lxc/lxc.ts'
import { lxd } from './lxd/lxd.ts'

/** The driver of each engine of the contract, one line for each; a missing one does not compile. */
export const drivers: Record<Container['runtime'], ContainerEngine> = {
  docker: docker('docker'),
  podman: docker('podman'),
  lxc,
  lxd: lxd('lxd'),
  incus: lxd('incus'),
}

export const driverOf = ({ runtime }: Pick<Container, 'runtime'>): ContainerEngine => drivers[runtime]

// The keys of the map are the contract's names.
export const runtimes = Object.keys(drivers) as Container['runtime'][]

/** Puts other drivers in the places of all, such as those of a simulation. */
export function replaceDrivers(
  make: (runtime: Container['runtime'], driver: ContainerEngine) => ContainerEngine,
): void {
  for (const name of runtimes) drivers[name] = make(name, drivers[name])
}
