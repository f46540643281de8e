import { setTimeout as delay } from 'node:timers/promises'
import type { Container } from '#shared/contracts/container/containers.ts'
import { ConflictError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { throwAll } from '#shared/service/violations.ts'
import { drivers } from '../drivers/drivers.ts'
import type { Composed } from '../drivers/parts.ts'
import { forgetContainer } from '../lifecycle/delete.ts'
import { waysToNode } from '../lifecycle/mounts.ts'
import { containerRecords } from '../model.ts'
import { serviceOf } from '../state/observe.ts'
import { settlePlace } from '../state/settle.ts'
import { requirePaths } from './check.ts'
import { projectIn, type Sealed } from './model.ts'
import { documentOf } from './project/document.ts'
import { composingOf, listedOf, type StackPlace } from './standing.ts'

/** A stack as operations name it. */
export type Target = { id: string; name: string; node: string; runtime: Container['runtime'] }

const lookEveryMs = 500

export const placeOf = async ({ node, runtime, name }: Target): Promise<StackPlace> => ({
  reached: await reach(node),
  runtime,
  name,
})

const folderOf = ({ reached }: StackPlace) => `${reached.node.state_dir}/stacks`

const composedOf = (place: StackPlace, { id, name }: Target, sealed: Sealed): Composed => ({
  project: name,
  document: documentOf(id, projectIn(sealed)),
  folder: folderOf(place),
})

/** The containers of a stack in words, for the error of a change that came half way. */
async function standingWords(place: StackPlace): Promise<string> {
  const all = await listedOf(place)
  const services = Map.groupBy(all, ({ labels }) => serviceOf(labels) ?? '?')
  const words = [...services].map(([service, own]) => {
    const running = own.filter(({ status }) => status === 'running').length
    return `${service} (${running} of ${own.length} running)`
  })
  return words.length === 0 ? 'no container' : words.toSorted().join(', ')
}

/** Adds to a refusal the containers that stood at that time. */
async function telling(place: StackPlace, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    const standing = await standingWords(place).catch(() => 'unknown')
    throw new ConflictError(`${error.message}. At that time there was: ${standing}`, {
      details: { ...error.details, standing },
      cause: error,
    })
  }
}

/** Brings the engine to a project. @param signal ends Compose; an undo has none */
export async function up(target: Target, sealed: Sealed, graceSeconds: number, signal?: AbortSignal): Promise<void> {
  const place = await placeOf(target)
  throwAll(await requirePaths(place, projectIn(sealed)))
  const how = { graceSeconds, ...(signal && { signal }) }
  await telling(place, () => composingOf(target.runtime).up(place.reached, composedOf(place, target, sealed), how))
}

/** Removes the containers and networks of a project. */
export async function down(
  target: Target,
  sealed: Sealed,
  how: { graceSeconds: number; volumes: boolean },
): Promise<void> {
  const place = await placeOf(target)
  const composed = composedOf(place, target, sealed)
  await composingOf(target.runtime).down(place.reached, composed, how)
}

/** Removes the lock of a project that is gone. */
export async function forgetLock(target: Target): Promise<void> {
  const place = await placeOf(target)
  await place.reached.host.remove(`${folderOf(place)}/${target.name}.lock`)
}

/** The reason that a container of a stack is no good; null for one that runs, or has done its work. */
async function defectOf(place: StackPlace, engine_id: string): Promise<string | null> {
  const node = place.reached.node.id
  const seen = await drivers[place.runtime].look({ node, engine_id })
  if (!seen) return null
  const of = `Container '${seen.name}' of service '${serviceOf(seen.labels) ?? '?'}'`
  if (seen.health === 'unhealthy') return `${of} is unhealthy`
  if (seen.status_reason === 'restarting') return `${of} is restarting again and again`
  if (seen.status === 'stopped' && seen.exit_code !== 0) return `${of} has ended with exit code ${seen.exit_code}`
  return null
}

/** @throws ConflictError for a container that has ended with an error within the time */
export async function watchContainers(op: Op, target: Target, seconds: number): Promise<void> {
  const place = await placeOf(target)
  const end = Date.now() + seconds * 1000
  for (;;) {
    for (const { engine_id } of await listedOf(place)) {
      const defect = await defectOf(place, engine_id)
      if (defect !== null)
        await telling(place, () =>
          Promise.reject(new ConflictError(`Stack '${target.name}' does not stay up: ${defect}`)),
        )
    }
    if (Date.now() >= end) return
    await delay(lookEveryMs, undefined, { signal: op.signal })
  }
}

/** Brings the records to the containers of a stack: all of them are managed, and those that are gone are forgotten. */
export async function recordContainers(op: Op, target: Target): Promise<void> {
  const { node, runtime, name } = target
  const place = await placeOf(target)
  const there = (await listedOf(place)).map(({ engine_id }) => engine_id)
  for (const record of await containerRecords.all({ node, runtime, stack: name, engine_id: { $nin: there } }))
    await forgetContainer(op, record)
  for (const engine_id of there) {
    await settlePlace({ node, runtime, engine_id })
    const record = await containerRecords.find({ node, runtime, engine_id })
    if (!record || record.managed) continue
    const ways = await waysToNode(place.reached, record)
    await containerRecords.change(record.id, () => ({ set: { managed: true, trusted: ways.length > 0 } }))
  }
}
