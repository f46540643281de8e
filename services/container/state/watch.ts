import { AsyncLocalStorage } from 'node:async_hooks'
import type { Engine } from '#shared/nodes/engine.ts'
import { readMany } from '#shared/db/read.ts'
import { followEngines } from '#shared/nodes/follow-engines.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { log } from '#shared/runtime/log.ts'
import { coalesced } from '#shared/runtime/single-flight.ts'
import type { ContainerEngine, News } from '../drivers/driver.ts'
import { drivers, runtimes } from '../drivers/drivers.ts'
import { type ContainerRecord, containerRecords } from '../model.ts'
import { killedOf } from './oom.ts'
import { drop, markUnknown, settlePlace } from './settle.ts'

const countKillsEveryMs = 2000
const reconcileEveryMs = 20_000
/** Time that a connection may be away before its containers are unknown. */
const graceMs = 300
/** Time for the first connection. */
const firstMs = 5000

/** One container engine of one node. */
type Watched = { reached: Reached; engine: Engine; runtime: ContainerRecord['runtime']; driver: ContainerEngine }

const placeOf = ({ reached, runtime }: Watched) => ({ node: reached.node.id, runtime })

const warn = (error: Error) => log('containers').warn({ err: error }, 'a container could not be brought up to date')

/** Compares the full list of an engine with the records. */
async function reconcile(watched: Watched): Promise<void> {
  const listed = new Map((await watched.driver.list(watched.reached)).map((each) => [each.engine_id, each]))
  const records = await readMany<Pick<ContainerRecord, 'engine_id' | 'status' | 'status_reason' | 'name'>>(
    containerRecords.model,
    placeOf(watched),
    { fields: ['engine_id', 'status', 'status_reason', 'name'], sort: { _id: 1 } },
  )
  const known = new Set(records.map(({ engine_id }) => engine_id))
  const changed = records.filter(({ engine_id, status, status_reason, name }) => {
    const now = listed.get(engine_id)
    return !now || now.status !== status || now.name !== name || status_reason !== null
  })
  const unknown = [...listed.keys()].filter((engine_id) => !known.has(engine_id))
  for (const engine_id of [...changed.map((record) => record.engine_id), ...unknown])
    await settlePlace({ ...placeOf(watched), engine_id }).catch(warn)
}

async function markAllUnknown(watched: Watched, reason: string): Promise<void> {
  if (watched.engine.isConnected()) return
  for (const record of await containerRecords.all(placeOf(watched))) await markUnknown(record, reason)
}

/** Follows the events of an engine. @returns a function that stops it */
function follow(watched: Watched): () => void {
  const { reached, engine, driver } = watched
  // A start alone is several events.
  const settled = coalesced((engine_id: string) => settlePlace({ ...placeOf(watched), engine_id }))
  const reconciled = coalesced(() => reconcile(watched))
  let grace: NodeJS.Timeout | undefined
  const unsubscribe = driver.events(
    reached,
    AsyncLocalStorage.bind((news: News) => {
      if (news.kind === 'container') settled(news.engineId).catch(warn)
      if (news.kind === 'connected') {
        clearTimeout(grace)
        reconciled('all').catch(warn)
      }
      if (news.kind === 'disconnected')
        grace = setTimeout(
          () => void markAllUnknown(watched, `Node '${reached.node.id}': ${news.error.message}`).catch(warn),
          graceMs,
        )
    }),
  )
  // An engine that is down already has no event of it.
  const first = setTimeout(() => void markAllUnknown(watched, 'its engine does not answer').catch(warn), firstMs)
  const countKills = coalesced(async () => {
    const running = await readMany<Pick<ContainerRecord, 'engine_id' | 'pid' | 'oom_kills'>>(
      containerRecords.model,
      { ...placeOf(watched), status: 'running' },
      { fields: ['engine_id', 'pid', 'oom_kills'] },
    )
    for (const { engine_id } of await killedOf(reached.host, running)) await settled(engine_id)
  })
  const killTimer = setInterval(() => engine.isConnected() && void countKills('all').catch(warn), countKillsEveryMs)
  const timer = setInterval(() => engine.isConnected() && void reconciled('all').catch(warn), reconcileEveryMs)
  return () => {
    unsubscribe()
    clearTimeout(grace)
    clearTimeout(first)
    clearInterval(timer)
    clearInterval(killTimer)
  }
}

/** Without a change of the nodes, each so many turns: a record may have come late. */
const dropEveryTurns = 15

/** Removes the records of containers of nodes that are no longer registered. */
async function dropNodes(registered: string[]): Promise<void> {
  for (const record of await containerRecords.all({ node: { $nin: registered } })) await drop(record)
}

/** Keeps the record of every container true: by the events of all engines, and by reading all lists now and then. */
export function watchNodes(): () => void {
  let registered = ''
  let turns = 0
  return followEngines({
    part: 'containers',
    names: runtimes,
    engineOf: (runtime, reached) => drivers[runtime].engineOf(reached),
    follow: (runtime, reached, engine) => follow({ reached, engine, runtime, driver: drivers[runtime] }),
    onNodes: async (ids) => {
      const isSame = ids.join() === registered && turns++ % dropEveryTurns !== 0
      if (ids.length === 0 || isSame) return
      await dropNodes(ids)
      registered = ids.join()
    },
  })
}
