import { setTimeout as delay } from 'node:timers/promises'
import { requireRight } from '#shared/access/require-right.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { Container, containers } from '#shared/contracts/container/containers.ts'
import { ConflictError, type Violation } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { throwAll } from '#shared/service/violations.ts'
import { idLabel, type Ref } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { Changes } from '../drivers/parts.ts'
import { contradictions, lacking, takenPorts } from '../lifecycle/create.ts'
import { resolveMounts, waysToNode } from '../lifecycle/mounts.ts'
import { begin } from '../lifecycle/power.ts'
import { apiPathOf, type ContainerRecord, containerRecords, nameKeyOf, viewOf } from '../model.ts'
import { observe } from '../state/observe.ts'
import { requireStatus, settle, settledForChange } from '../state/settle.ts'

type Given = Params<typeof containers, 'recreate'>
type Input = { id: string; timeout: number; watch: number; changes: Changes; isRunning: boolean; aside: string }

const lookEveryMs = 250

/** @throws ConflictError for an engine that cannot put a container aside */
function recreationOf(container: ContainerRecord) {
  const { recreation, rename } = driverOf(container)
  if (recreation && rename) return { ...recreation, rename: rename.to }
  throw new ConflictError(
    `Container '${container.id}' cannot be recreated: its engine gives no other name to a container, so that the old one could not be kept`,
  )
}

async function changesOf(given: Given, container: ContainerRecord, violations: Violation[]): Promise<Changes> {
  const { id: _id, timeout: _timeout, watch: _watch, mounts, ...plain } = given
  const { runtime, node, name, id } = container
  violations.push(
    ...contradictions({ ...plain, name, runtime }),
    ...lacking(runtime, { ...plain, mounts }),
    ...(await takenPorts({ node, ports: plain.ports, except: id })),
  )
  if (mounts === undefined) return plain
  return { ...plain, mounts: await resolveMounts(await reach(node), mounts, violations) }
}

async function accept(given: Given, accepting: Accepting): Promise<Input> {
  const { id, timeout, watch } = given
  await accepting.hold(apiPathOf(id))
  const container = await settledForChange(id, 'recreate')
  requireStatus(container, 'recreate', ['running', 'stopped'])
  const recreation = recreationOf(container)
  if ((await waysToNode(await reach(container.node), container)).length > 0)
    requireRight(accepting, 'ContainerPrivileged', apiPathOf(id))
  await accepting.reserve(nameKeyOf(container))
  const violations: Violation[] = []
  const changes = await changesOf(given, container, violations)
  violations.push(...(await recreation.check(container, changes)))
  throwAll(violations)
  // Short, and by every engine's rule: letters, digits and hyphens.
  const aside = `aside-${idFrom(accepting.operationId).slice(0, 13)}`
  return { id, timeout, watch, changes, isRunning: container.status === 'running', aside }
}

/** The container that a try has made under the name, beside the old one. */
async function findMade(container: ContainerRecord, old: string, name: string): Promise<string | undefined> {
  const all = await driverOf(container).list(await reach(container.node))
  return all.find((each) => each.labels[idLabel] === container.id && each.name === name && each.engine_id !== old)
    ?.engine_id
}

/** @throws ConflictError for a container that has ended within the time */
async function watchStart(ref: Ref, container: ContainerRecord, seconds: number, { signal }: Op): Promise<void> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const seen = await driverOf(container).look(ref)
    if (seen?.status !== 'running') {
      const code = seen?.exit_code ?? null
      throw new ConflictError(
        `The new container has ended again${code === null ? '' : ` with exit code ${code}`}: the old one is put back`,
        { details: { exit_code: code } },
      )
    }
    if (Date.now() >= end) return
    await delay(lookEveryMs, undefined, { signal })
  }
}

/** Has the record tell of another container of its engine. */
async function pointTo({ id, node, runtime }: ContainerRecord, engine_id: string): Promise<void> {
  if ((await containerRecords.require(id)).engine_id === engine_id) return
  const observed = await observe({ node, runtime, engine_id })
  const image = observed ? { image: observed.image } : {}
  await containerRecords.change(id, () => ({ set: { engine_id, ...image } }))
}

/**
 * Makes a container again: the old one is put aside under another name, the new one is made and started, and only when
 * it stays up the old one is removed. On any failure, and after any crash, the old one is put back.
 */
async function run(op: Op, { id, timeout, watch, changes, isRunning, aside }: Input): Promise<Container> {
  const before = await op.step('reading container', async () => containerRecords.require(id))
  const driver = driverOf(before)
  const { create, rename } = recreationOf(before)
  const { name, engine_id } = before
  const old: Ref = { id, name, node: before.node, engine_id }
  if (isRunning)
    await op.step('stopping container', () => driver.stop(old, { graceSeconds: timeout }), {
      undo: () => begin(before),
    })
  await op.step('putting container aside', () => rename(old, aside), { undo: () => rename(old, name) })
  const made = await op.step('creating container', () => create(old, name, changes), {
    undo: async (known?: string) => {
      const found = known ?? (await findMade(before, engine_id, name))
      if (found !== undefined) await driver.remove({ ...old, engine_id: found }, { volumes: false })
    },
  })
  const ref = { ...old, engine_id: made }
  if (isRunning) {
    await op.step('starting container', () => begin({ ...before, engine_id: made }), {
      undo: () => driver.stop(ref, { graceSeconds: 0 }),
    })
    await op.step('watching container', () => watchStart(ref, before, watch, op))
  }
  await op.step('registering', () => pointTo(before, made), { undo: () => pointTo(before, engine_id) })
  await op.commit()
  await op.step('removing the old container', () => driver.remove({ ...old, name: aside }, { volumes: false }))
  return viewOf(await settle(id))
}

export const recreate = operation({ accept, run })
