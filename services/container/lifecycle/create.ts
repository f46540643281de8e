import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { Container, containers } from '#shared/contracts/container/containers.ts'
import { alreadyExists, NotFoundError, type Violation } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { allowedPath } from '#shared/nodes/host/allowed-path.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { type Definition, type Field, idLabel } from '../drivers/driver.ts'
import { driverOf, drivers } from '../drivers/drivers.ts'
import { apiPathOf, type ContainerRecord, containerRecords, nameKeyOf, viewOf } from '../model.ts'
import { fieldsOf, observe } from '../state/observe.ts'
import { settle } from '../state/settle.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { creationOf, deletionOf } from './events.ts'
import { resolveMounts } from './mounts.ts'
import { forgetRoom, giveRoomBack, reserveRoom, type Room, takeRoom } from './room.ts'

type Given = Params<typeof containers, 'create'>
type Runtime = Container['runtime']
/** The input of the run: a definition, and where it is made. */
type Input = { definition: Definition; runtime: Runtime; start: boolean; room?: Room }

/** The fields that a request names and this engine does not have, each with the reason. */
export function lacking(runtime: Runtime, given: { [K in Field]?: unknown }): Violation[] {
  const { lacks } = drivers[runtime]
  return Object.entries(lacks).flatMap(([field, reason]) => {
    const value = given[field as Field]
    const isEmpty = value === null || value === false || value === 'no' || (Array.isArray(value) && value.length === 0)
    const isGiven = value !== undefined && !isEmpty
    return isGiven ? [{ field, code: 'unsupported', message: reason }] : []
  })
}

export function contradictions({
  name,
  runtime,
  ports = [],
  labels = {},
}: Pick<Given, 'name' | 'runtime'> & Partial<Pick<Given, 'ports' | 'labels'>>): Violation[] {
  const { nameRule } = drivers[runtime]
  const violations: Violation[] = []
  if (!nameRule.pattern.test(name)) violations.push({ field: 'name', code: 'invalid', message: nameRule.message })
  if (idLabel in labels) violations.push({ field: `labels.${idLabel}`, code: 'reserved', message: 'is set by Horcrux' })
  const taken = new Set<string>()
  for (const [index, { host_ip, host_port, protocol }] of ports.entries()) {
    const key = `${host_ip} ${host_port}/${protocol}`
    if (taken.has(key))
      violations.push({ field: `ports.${index}`, code: 'duplicate', message: `${key} is named twice` })
    taken.add(key)
  }
  return violations
}

type Published = { node: string; ports?: Given['ports']; except?: string; exceptStack?: string }

/** Ports of the node that other containers have. @param published.except, exceptStack whose ports are free soon */
export async function takenPorts({ node, ports = [], except, exceptStack }: Published): Promise<Violation[]> {
  if (ports.length === 0) return []
  const filter = {
    node,
    status: { $in: ['running', 'paused'] },
    'ports.0': { $exists: true },
    ...(except !== undefined && { _id: { $ne: except } }),
    ...(exceptStack !== undefined && { stack: { $ne: exceptStack } }),
  }
  const others = await containerRecords.all(filter)
  return ports.flatMap(({ host_port, protocol }, index) => {
    const user = others.find((other) =>
      other.ports.some((port) => port.host_port === host_port && port.protocol === protocol),
    )
    const message = `port ${host_port}/${protocol} of the node is published by container '${user?.name}'`
    return user ? [{ field: `ports.${index}.host_port`, code: 'taken', message }] : []
  })
}

async function accept({ id = newId(), ...given }: Given, accepting: Accepting): Promise<Input> {
  if (given.privileged) requireRight(accepting, 'ContainerPrivileged', apiPathOf(id))
  const { resource_pool, memory = null, cpus = null, pids = null } = given
  const room =
    resource_pool === undefined
      ? undefined
      : await reserveRoom(resource_pool, { id, memory, cpus, pids }, accepting.operationId).catch((error: unknown) => {
          // It becomes a violation beside the others.
          if (error instanceof NotFoundError) return undefined
          throw error
        })
  try {
    return { ...(await prepared({ ...given, id }, accepting)), ...(room && { room }) }
  } catch (error) {
    if (room) await forgetRoom(room, accepting.operationId)
    throw error
  }
}

async function prepared(given: Given & { id: string }, { hold, reserve }: Accepting): Promise<Input> {
  const { id, name, runtime, node, resource_pool, start } = given
  await hold(apiPathOf(id))
  await reserve(nameKeyOf({ node, runtime, name }))
  if (await containerRecords.get(id)) throw alreadyExists(id, { field: 'id' })
  if (await containerRecords.find({ node, runtime, name })) throw alreadyExists(name, { field: 'name' })

  const violations = [...contradictions(given), ...lacking(runtime, given), ...(await takenPorts(given))]
  if (resource_pool !== undefined)
    await checking('resource_pool', violations, () => call(resourcePools, 'get', { id: resource_pool }))
  const reached = await checking('node', violations, () => reach(node))
  if (reached?.node.maintenance)
    violations.push({ field: 'node', code: 'maintenance', message: `'${node}' is in maintenance` })
  const definition = reached && (await definitionOf(reached, given, violations))
  if (definition && violations.length === 0) violations.push(...(await drivers[runtime].check(reached, definition)))
  throwAll(violations)
  // Without a node there is a violation.
  if (!definition) throw new NotFoundError(`Node '${node}' not found`)
  return { definition, runtime, start }
}

const limitsIn = ({ memory = null, cpus = null, pids = null }: Given) => ({ memory, cpus, pids })

/** The real path of an archive, or null without one. */
async function archiveOf({ host, node }: Reached, path: string | undefined, violations: Violation[]) {
  if (path === undefined) return null
  const real = await checking('rootfs', violations, () => allowedPath(host, path, node, 'rootfs'))
  if (real === undefined) return null
  if (!(await host.stat(real)))
    violations.push({ field: 'rootfs', code: 'not_found', message: `'${real}' is not on the node` })
  return real
}

async function definitionOf(
  reached: Reached,
  given: Given & { id: string },
  violations: Violation[],
): Promise<Definition> {
  const { id, name, node, command = [], env = {}, labels = {}, ports = [], mounts = [] } = given
  return {
    id,
    name,
    node,
    command,
    env,
    labels,
    ports,
    image: given.image ?? null,
    rootfs: await archiveOf(reached, given.rootfs, violations),
    ...limitsIn(given),
    restart_policy: given.restart_policy ?? 'no',
    privileged: given.privileged,
    health_check: given.health_check ?? null,
    mounts: await resolveMounts(reached, mounts, violations),
  }
}

type Made = Pick<Definition, 'id' | 'name' | 'node'> & { runtime: Runtime }

/** Removes a container that this operation has made, also one whose creation it has not heard the end of. */
export async function removeMade({ id, name, node, runtime }: Made, engineId?: string): Promise<void> {
  const driver = drivers[runtime]
  const found =
    engineId ?? (await driver.list(await reach(node))).find(({ labels }) => labels[idLabel] === id)?.engine_id
  if (found !== undefined) await driver.remove({ id, name, node, engine_id: found }, { volumes: true })
}

/** Writes the record of a container that its engine has. */
export async function register(
  op: Op,
  { id, node, runtime, rootfs }: Made & Pick<Definition, 'rootfs'>,
  engine_id: string,
) {
  const work = async () => {
    if (await containerRecords.get(id)) return
    const observed = await observe({ node, runtime, engine_id })
    if (!observed) throw new NotFoundError(`The container that was made on '${node}' is gone`)
    const at = now()
    const made = { ...fieldsOf(observed), created_at: at, updated_at: at, managed: true, trusted: false, rootfs }
    const record = { id, node, runtime, ...made, engine_id }
    await containerRecords.insert(record, [creationOf(record)])
  }
  const undo = async () => {
    const record = await containerRecords.get(id)
    if (!record) return
    const deletion = await deletionOf(record)
    if ((await containerRecords.removeWhere({ _id: id }, deletion.for)) > 0) op.emit(deletion)
  }
  await op.step('registering', work, { undo })
}

async function run(op: Op, { definition, runtime, start, room }: Input): Promise<Container> {
  const made = { ...definition, runtime }
  const driver = driverOf(made)
  if (room) await op.step(`taking room in ${room.pool}`, () => takeRoom(room), { undo: () => giveRoomBack(room) })
  const engine_id = await op.step('creating container', () => driver.create(definition), {
    undo: (id?: string) => removeMade(made, id),
  })
  await register(op, made, engine_id)
  const ref: Pick<ContainerRecord, 'id' | 'name' | 'node' | 'engine_id'> = { ...definition, engine_id }
  if (start)
    await op.step('starting container', () => driver.start(ref), { undo: () => driver.stop(ref, { graceSeconds: 0 }) })
  return viewOf(await settle(definition.id))
}

export const create = operation({ accept, run })
