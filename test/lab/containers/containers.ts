import { containers, type Container } from '#shared/contracts/container/containers.ts'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { containerService } from '../../../services/container/service.ts'
import { startHorcrux, type TestHorcrux } from '../product/horcrux.ts'
import { work } from '../product/run-operation.ts'
import { until } from '../wait.ts'
import { labEngines } from './engines.ts'
import { sourceOf } from './source.ts'
import type { LabEngines } from './start.ts'

export type ContainerLab = {
  horcrux: TestHorcrux
  engines: LabEngines
  /** Makes a container of `tiny` that does nothing until it is stopped. */
  make: Made
  stop: () => Promise<void>
}

type Made = (runtime: Runtime, name: string, given?: Record<string, unknown>) => Promise<Container>

/** Makes containers of `tiny` that do nothing until they are stopped. */
export const containerMaker =
  (horcrux: TestHorcrux, lab: LabEngines): Made =>
  async (runtime, name, given = {}) => {
    const params = { id: name, name, runtime, ...sourceOf(lab, runtime), ...given }
    // The first call of an engine loads its library, which takes long on a busy machine.
    const ended = await work(horcrux, containers, 'create', params, { timeoutMs: 60_000 })
    if (ended.state !== 'succeeded') throw new Error(`${name} was not made: ${JSON.stringify(ended.error)}`)
    // The result of the operation is the container.
    return ended.result as Container
  }

/** Tells the local node where the engines of the run are. */
export async function useEngines(horcrux: TestHorcrux, { config }: LabEngines): Promise<void> {
  await until(() => horcrux.call(nodes, 'get', { id: 'local' }).catch(() => null), { what: 'the node' })
  // On a busy machine it takes long.
  await horcrux.call(nodes, 'update', { id: 'local', engine_config: config }, { timeoutMs: 60_000 })
}

/** Horcrux with the engines of the run as those of its local node. */
export async function startContainerLab(engines?: LabEngines): Promise<ContainerLab> {
  const lab = engines ?? (await labEngines())
  const horcrux = await startHorcrux({
    services: [clusterService, containerService],
    config: { allowedPaths: [lab.dir] },
  })
  await useEngines(horcrux, lab)
  return { horcrux, engines: lab, make: containerMaker(horcrux, lab), stop: horcrux.stop }
}
