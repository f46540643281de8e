import { fill } from '#shared/db/fill.ts'
import { now } from '#shared/events/event.ts'
import type { Container } from '#shared/contracts/container/containers.ts'
import type { Run } from '#shared/nodes/simulated/activity.ts'
import type { World } from '#shared/nodes/simulated/world.ts'
import { type ContainerRecord, containerRecords } from '../../model.ts'
import { fieldsOf } from '../../state/observe.ts'
import { type Made, newContainer, seen, started } from './simulated.ts'

export type SeedContainer = Pick<Container, 'id' | 'name' | 'node' | 'runtime' | 'memory' | 'cpus' | 'labels'> & {
  image: string
  created_at: string
  run: Run
}

function made({ run, runtime, created_at, ...given }: SeedContainer): Made {
  const definition = {
    ...given,
    rootfs: null,
    command: [],
    env: {},
    pids: null,
    ports: [],
    mounts: [],
    restart_policy: 'unless-stopped' as const,
    health_check: null,
    privileged: false,
  }
  return started({ ...newContainer(runtime, definition), created_at }, run)
}

/** The containers of a simulation, before any service runs. */
export async function seedContainers(world: World, containers: readonly SeedContainer[]): Promise<void> {
  const all = containers.map(made)
  world.containers.addAll(all)
  const records = all.map((container, index) => ({
    ...fieldsOf({ ...seen(container), oom_kills: 0 }),
    id: containers[index]!.id,
    node: container.node,
    runtime: containers[index]!.runtime,
    managed: true,
    trusted: false,
    rootfs: null,
    created_at: container.created_at,
    updated_at: now(),
  }))
  await fill<ContainerRecord>(containerRecords, records)
}
