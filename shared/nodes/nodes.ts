import { call } from '#shared/bus/call.ts'
import { ConflictError } from '#shared/errors.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { type EngineConfig, type EngineKind, nodes, type Reach } from '#shared/contracts/cluster/nodes.ts'
import type { Engine, EngineDriver } from '#shared/nodes/engine.ts'
import { type EngineOf, engines } from '#shared/nodes/engines.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { closeAll, closeHost, hostFor } from '#shared/nodes/host/hosts.ts'
import { unseal } from '#shared/config/secrets.ts'

/** A node with its host and its engines, each one connection for the whole process. */
export type Reached = {
  node: Reach
  host: Host
  /** Opens nothing until the engine is used; another object after its connection was replaced. */
  engine: <K extends EngineKind>(kind: K) => EngineOf<K>
}

// The address of a node changes rarely; a change is noticed within this time.
const freshMs = 2000
const known = new Map<string, { at: number; node: Promise<Reach> }>()

/** @throws NotFoundError for a node that is not registered */
async function reachOf(id: string): Promise<Reach> {
  const entry = known.get(id)
  if (entry && Date.now() - entry.at < freshMs) return entry.node
  const node = call(nodes, 'reach', { id }, { isQuestion: true })
  known.set(id, { at: Date.now(), node })
  node.catch(() => known.delete(id))
  return node
}

/** The node with its connections. @throws NotFoundError for a node that is not registered */
export async function reach(id: string): Promise<Reached> {
  const reached = open(await reachOf(id))
  await requireCurrent()
  return reached
}

/** @throws ConflictError when a node is in maintenance: nothing is started there */
export async function requireServing(id: string): Promise<void> {
  const { maintenance, name } = await reachOf(id)
  if (!maintenance) return
  throw new ConflictError(
    `Node '${name}' is in maintenance, and nothing is started there until its maintenance ends (PATCH /api/cluster/nodes/${id} with maintenance: false)`,
    { details: { node: id, maintenance: true } },
  )
}

/** All registered nodes. */
export async function reachAll(): Promise<Reached[]> {
  const all = await call(nodes, 'reachAll', {}, { isQuestion: true })
  for (const node of all) remember(node)
  return all.map(open)
}

/** Replaces the remembered address of a node: two addresses in one process would close each other's connections. */
export function remember(node: Reach): void {
  known.set(node.id, { at: Date.now(), node: Promise.resolve(node) })
}

type Opened = { key: string; engine: Engine }
/** By node and kind. */
const opened = new Map<string, Map<EngineKind, Opened>>()

/** The connections to a node, which need not be registered yet. */
export function open(node: Reach): Reached {
  const host = hostOf(node)
  return {
    node,
    host,
    // The driver of a kind makes engines of that kind.
    engine: <K extends EngineKind>(kind: K) => engineOf(node, host, kind) as EngineOf<K>,
  }
}

/** The engine of a node; its connection is replaced when the node or this engine is reached in another way than before. */
function engineOf(node: Reach, host: Host, kind: EngineKind): Engine {
  const { id, name, kind: way, address, port, user, sealed_key } = node
  const config = node.engine_config[kind]
  // Not the host key: a key that is pinned anew counts for the next connection of the host, and ends no open one.
  const key = JSON.stringify([name, way, address, port, user, sealed_key, config])
  const ofNode = opened.get(id) ?? new Map<EngineKind, Opened>()
  opened.set(id, ofNode)
  const there = ofNode.get(kind)
  if (there?.key === key) return there.engine
  void there?.engine.close()
  // Each driver takes the branch of the configuration that has its name.
  const driver = engines[kind] as EngineDriver<EngineConfig[EngineKind]>
  const engine = driver.connect({ node: id, name, isLocal: way === 'local', host, config })
  ofNode.set(kind, { key, engine })
  return engine
}

function hostOf({ id, kind, address, port, user, host_key, sealed_key }: Reach): Host {
  if (kind === 'local') return hostFor(id, { kind })
  return hostFor(id, { kind, address, port, user, hostKey: host_key, privateKey: unseal(sealed_key, 'node') })
}

/** Another connection to a node beside its usual one; `closeHost('NODE/NAME')` ends it. */
export const hostApart = (node: Reach, name: string): Host => hostOf({ ...node, id: `${node.id}/${name}` })

/** Closes all connections to a node that is removed. */
export async function forget(id: string): Promise<void> {
  known.delete(id)
  const ofNode = [...(opened.get(id)?.values() ?? [])]
  opened.delete(id)
  await Promise.all(ofNode.map(({ engine }) => engine.close()))
  await closeHost(id)
}

/** Closes the engines and hosts of all nodes, at the end of the process. */
export async function closeNodes(): Promise<void> {
  await Promise.all([...opened.keys()].map(forget))
  await closeAll()
}
