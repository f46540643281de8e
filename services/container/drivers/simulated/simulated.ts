import { createHash } from 'node:crypto'
import type { Container } from '#shared/contracts/container/containers.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { after, fraction, type Run } from '#shared/nodes/simulated/activity.ts'
import type { SimulatedContainer, World } from '#shared/nodes/simulated/world.ts'
import { type ContainerEngine, type Definition, idLabel, type Ref, type Seen } from '../driver.ts'
import { simulatedLog } from './log.ts'

export type Made = SimulatedContainer<Definition>
type Runtime = Container['runtime']
type Key = Pick<Ref, 'node' | 'engine_id'>

/** Process ids of a simulated node: other containers have others, and so has each run. */
const pidOf = (id: string, runs: number) => 1000 + Math.floor(fraction(id, 'pid') * 4_000_000) + runs

/** An id as engines make them, of 64 digits. */
const engineIdOf = (id: string) => createHash('sha256').update(id).digest('hex')

/** A container of a definition, which has never run. */
export function newContainer(runtime: Runtime, definition: Definition): Made {
  const { id, node, name, memory, cpus, pids } = definition
  return {
    id: engineIdOf(id),
    node,
    runtime,
    name,
    memory,
    cpus,
    pids,
    pid: null,
    status: 'stopped',
    runs: 0,
    since: null,
    ran_ms: 0,
    exit_code: null,
    created_at: now(),
    definition,
  }
}

/** A container in another state. */
export function started(container: Made, run: Run): Made {
  const isOff = run.status === 'stopped'
  return { ...container, ...run, pid: isOff ? null : pidOf(container.id, run.runs), exit_code: isOff ? 0 : null }
}

/** Changes the state of a container; one that is in another state is fine. */
export async function act(world: World, container: Made, verb: Parameters<typeof after>[0]): Promise<void> {
  const run = after(verb, container, Date.now())
  if (run) await save(world, started(container, run))
}

async function save(world: World, container: Made): Promise<void> {
  await world.containers.put(container)
  world.tell(container.node, container.id, container.status)
}

/** A container as its engine would describe it. */
export function seen({ definition, ...container }: Made): Seen {
  const { id, name, memory, cpus, pids, pid, status, exit_code, created_at } = container
  const host = Math.floor(fraction(id, 'address') * 65_000) + 2
  return {
    engine_id: id,
    name,
    image: definition.image,
    command: definition.command,
    env: definition.env,
    labels: { ...definition.labels, [idLabel]: definition.id },
    memory,
    cpus,
    pids,
    mounts: definition.mounts,
    ports: definition.ports,
    networks: pid === null ? [] : [{ name: 'bridge', address: `172.17.${host >> 8}.${host & 255}`, mac: null }],
    pid,
    restart_policy: definition.restart_policy,
    health_check: definition.health_check,
    health: null,
    privileged: definition.privileged,
    status,
    status_reason: null,
    exit_code,
    created_at,
  }
}

/**
 * Containers that exist in a simulation only.
 * @param real the engine in whose place it stands: its rules for names and fields stay
 */
export function simulatedContainers(
  world: World,
  runtime: Runtime,
  real: Pick<ContainerEngine, 'engineOf' | 'lacks' | 'usersAreNumbers' | 'nameRule'>,
): ContainerEngine {
  const find = ({ node, engine_id }: Key): Made | null => {
    const found = world.containers.get(node, engine_id)
    // Only this driver makes containers of this runtime.
    return found?.runtime === runtime ? (found as Made) : null
  }
  const actOn = async (ref: Key, verb: Parameters<typeof after>[0]) => {
    const found = find(ref)
    if (found) await act(world, found, verb)
  }
  const refuse = async (): Promise<never> => {
    throw new ConflictError('A simulated container has no programs and no files')
  }
  return {
    engineOf: real.engineOf,
    lacks: real.lacks,
    usersAreNumbers: real.usersAreNumbers,
    nameRule: real.nameRule,
    check: async (reached) => {
      const health = await real.engineOf(reached).health()
      return health.status === 'online' ? [] : [{ field: 'node', code: 'unavailable', message: health.reason }]
    },
    list: async ({ node }) =>
      world.containers
        .all(node.id)
        .filter((each) => each.runtime === runtime)
        .map((container) => {
          const { engine_id, name, status, labels } = seen(container as Made)
          return { engine_id, name, status, labels }
        }),
    look: async (ref) => {
      const found = find(ref)
      return found && seen(found)
    },
    create: async (definition) => {
      const made = newContainer(runtime, definition)
      if (!find({ node: made.node, engine_id: made.id })) await save(world, made)
      return made.id
    },
    remove: async ({ node, engine_id }) => {
      await world.containers.remove(node, engine_id)
      world.tell(node, engine_id, 'removed')
    },
    start: async (ref) => {
      if (!find(ref)) throw new NotFoundError(`The simulation has no container '${ref.name}' on node '${ref.node}'`)
      await actOn(ref, 'start')
    },
    stop: (ref) => actOn(ref, 'stop'),
    pause: (ref) => actOn(ref, 'pause'),
    resume: (ref) => actOn(ref, 'resume'),
    limits: {
      change: async (ref, wanted) => {
        const found = find(ref)
        if (found) await save(world, { ...found, ...wanted })
      },
      keeps: [],
      areForgotten: false,
    },
    logs: simulatedLog(find),
    rename: {
      to: async (ref, name) => {
        const found = find(ref)
        if (found) await save(world, { ...found, name })
      },
      onlyStopped: false,
    },
    exec: refuse,
    attach: refuse,
    files: { read: refuse, write: refuse },
    export: refuse,
    events: (reached, listener) =>
      real
        .engineOf(reached)
        .events((event) =>
          listener(event.kind === 'object' ? { kind: 'container', engineId: event.id, change: event.change } : event),
        ),
  }
}
