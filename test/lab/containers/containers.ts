import { containers, type Container } from '#shared/contracts/container/containers.ts'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { containerService } from '../../../services/container/service.ts'
import { startHorcrux, type TestHorcrux } from '../product/horcrux.ts'
import { done } from '../product/run-operation.ts'
import { until } from '../wait.ts'
import { type LabEngines, labEngines } from './engines.ts'

export type ContainerLab = {
  horcrux: TestHorcrux
  engines: LabEngines
  /** Makes a container of `tiny` that does nothing until it is stopped. */
  make: (runtime: Runtime, name: string, given?: Record<string, unknown>) => Promise<Container>
  stop: () => Promise<void>
}

/** A command that ends when it is asked to. */
export const idle = ['/bin/sh', '-c', "trap 'exit 0' TERM; while :; do sleep 0.1; done"]

/** The fields that make a container of an engine: of an image, or of an archive. */
export const sourceOf = ({ archive }: LabEngines, runtime: Runtime) =>
  runtime === 'docker' || runtime === 'podman'
    ? { image: 'tiny', command: idle }
    : runtime === 'lxc'
      ? { rootfs: archive }
      : { image: 'tiny' }

/** Horcrux with the engines of the run as those of its local node. */
export async function startContainerLab(engines?: LabEngines): Promise<ContainerLab> {
  const lab = engines ?? (await labEngines())
  const horcrux = await startHorcrux({
    services: [clusterService, containerService],
    config: { allowedPaths: [lab.dir] },
  })
  await until(() => horcrux.call(nodes, 'get', { id: 'local' }).catch(() => null), { what: 'the node' })
  await horcrux.call(nodes, 'update', { id: 'local', engine_config: lab.config })
  return {
    horcrux,
    engines: lab,
    make: async (runtime, name, given = {}) => {
      const params = { id: name, name, runtime, ...sourceOf(lab, runtime), ...given }
      // The result of the operation is the container.
      return (await done(horcrux, containers, 'create', params)) as Container
    },
    stop: horcrux.stop,
  }
}
