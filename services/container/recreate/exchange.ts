import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { idLabel, type Ref } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { Changes } from '../drivers/parts.ts'
import { begin } from '../lifecycle/power.ts'
import { type ContainerRecord, containerRecords } from '../model.ts'
import { observe } from '../state/observe.ts'

const lookEveryMs = 250

/** The name of the old container meanwhile. Short, and by every engine's rule: letters, digits and hyphens. */
export const asideOf = (operationId: string): string => `aside-${idFrom(operationId).slice(0, 13)}`

/** @throws ConflictError for an engine that cannot put a container aside */
export function recreationOf(container: ContainerRecord) {
  const { recreation, rename } = driverOf(container)
  if (recreation && rename) return { ...recreation, rename: rename.to }
  throw new ConflictError(
    `Container '${container.id}' cannot be recreated: its engine gives no other name to a container, so that the old one could not be kept`,
  )
}

/** The container that a try has made under the name, beside the old one. */
async function findMade(container: ContainerRecord, old: string, name: string): Promise<string | undefined> {
  const all = await driverOf(container).list(await reach(container.node))
  return all.find((each) => each.labels[idLabel] === container.id && each.name === name && each.engine_id !== old)
    ?.engine_id
}

/** @throws ConflictError for a container that has ended within the time */
export async function watchStart(ref: Ref, container: ContainerRecord, seconds: number, { signal }: Op): Promise<void> {
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

type Exchanging = {
  changes: Changes
  wasRunning: boolean
  isStarted: boolean
  timeout: number
  watch: number
  aside: string
  /** Gives the new container, which is off, files of its own. */
  fill?: (engineId: string) => Promise<void>
}

/**
 * Makes a container again: the old one is put aside under another name, the new one is made and started, and only when
 * it stays up the old one is removed. On any failure, and after any crash, the old one is put back.
 */
export async function exchange(op: Op, before: ContainerRecord, how: Exchanging): Promise<void> {
  const { changes, wasRunning, isStarted, timeout, watch, aside, fill } = how
  const driver = driverOf(before)
  const { create, rename } = recreationOf(before)
  const { id, name, engine_id } = before
  const old: Ref = { id, name, node: before.node, engine_id }
  if (wasRunning)
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
  if (fill) await op.step('filling volumes', () => fill(made))
  if (isStarted) {
    await op.step('starting container', () => begin({ ...before, engine_id: made }), {
      undo: () => driver.stop(ref, { graceSeconds: 0 }),
    })
    await op.step('watching container', () => watchStart(ref, before, watch, op))
  }
  await op.step('registering', () => pointTo(before, made), { undo: () => pointTo(before, engine_id) })
  await op.commit()
  await op.step('removing the old container', () => driver.remove({ ...old, name: aside }, { volumes: false }))
}
