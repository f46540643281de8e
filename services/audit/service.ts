import { audit } from '#shared/contracts/core/audit.ts'
import { type Held, leaseFor, renewLease, takeLease } from '#shared/db/lease.ts'
import { newHolder } from '#shared/bus/liveness.ts'
import { log } from '#shared/runtime/log.ts'
import { implement } from '#shared/service/implement.ts'
import type { Service } from '#shared/service/start.ts'
import { drain, endOfChain, isInboxEmpty } from './chain/chain.ts'
import { checkpointEveryMs, checkpointWhenDue, publicKey } from './chain/checkpoints.ts'
import { erase } from './retention/erase.ts'
import { exportPage } from './query/export.ts'
import { bruteForceIn, statsOf } from './query/findings.ts'
import { alarming, auditState } from './models.ts'
import { fingerprintOf } from './verify/public-key.ts'
import { between, filterOf, select } from './query/query.ts'
import { applyRetention, retentionDays, setRetentionDays } from './retention/retention.ts'
import { verifyStore } from './verify/verify.ts'

/** Each query first drains the inbox into the chain, so that it includes all records written before it. */
const auditActions = implement(audit, {
  list: async (query) => {
    await drain()
    return select(filterOf(query), query)
  },
  stats: async (query) => {
    await drain()
    return statsOf(between(query))
  },
  securityEvents: async (query) => {
    await drain()
    return select({ ...between(query), severity: alarming }, { ...query, order: 'desc' })
  },
  failedLogins: async (query) => {
    await drain()
    const { user, since, until } = query
    const filter = filterOf({
      kind: 'login_failed',
      ...(user && { user }),
      ...(since && { since }),
      ...(until && { until }),
    })
    return select(filter, { ...query, order: 'desc' })
  },
  bruteForce: async ({ threshold, ...query }) => {
    await drain()
    return { data: await bruteForceIn(between(query), threshold) }
  },
  verify: async ({ seq, hash }) => {
    await drain()
    return verifyStore(await endOfChain(), seq !== undefined && hash !== undefined ? { seq, hash } : undefined)
  },
  key: async () => ({ public_key: publicKey(), fingerprint: fingerprintOf(publicKey()) }),
  export: async ({ limit, cursor }) => {
    if (cursor === undefined) await drain()
    return exportPage(limit, cursor)
  },
  retention: async () => ({ days: await retentionDays() }),
  setRetention: async ({ days }) => {
    await setRetentionDays(days)
    return { days }
  },
  erase: async ({ user }) => {
    await drain()
    return { records: await erase(user) }
  },
})

/** Pauses between two looks for records: short while some come, longer and longer while none does. */
const pause = { shortestMs: 250, longestMs: 2000 }
const leaseMs = 3000
const retentionEveryMs = 3_600_000
const id = 'chainer'
let held: Held | undefined

/** Takes or renews the lease, so that only one replica writes the chain at a time; two writers would be safe but slow. */
async function isMyTurn(): Promise<boolean> {
  const lease = leaseFor(newHolder(), leaseMs)
  if (held && (await renewLease(auditState, held, lease))) return true
  const taken = await takeLease<Held>(auditState, { _id: id }, lease, { upsert: true })
  held = taken ? { id, epoch: taken.epoch } : undefined
  return taken !== null
}

let lookedAt = 0

/** @returns whether there was something to chain */
async function chainWhatWaits(): Promise<boolean> {
  const isEmpty = await isInboxEmpty()
  if (!isEmpty && (await isMyTurn())) await drain()
  // Runs also without new records, so that the last ones get signed.
  if (isEmpty && Date.now() - lookedAt < checkpointEveryMs) return false
  lookedAt = Date.now()
  await checkpointWhenDue()
  return !isEmpty
}

/** The audit service: keeps the records of all services in one tamper-evident chain. */
export const auditService: Service = {
  name: 'audit',
  serves: [auditActions],
  start: async () => {
    let stopped = false
    let timer: NodeJS.Timeout | undefined
    let running = Promise.resolve()
    let retainedAt = 0
    let pauseMs = pause.shortestMs
    const turn = async () => {
      pauseMs = (await chainWhatWaits()) ? pause.shortestMs : Math.min(pauseMs * 2, pause.longestMs)
      if (Date.now() - retainedAt < retentionEveryMs) return
      retainedAt = Date.now()
      await applyRetention()
    }
    const loop = async () => {
      try {
        await turn()
      } catch (error) {
        log('audit').warn({ err: error }, 'records could not be added to the chain; they wait in the inbox')
      }
      if (!stopped) timer = setTimeout(() => (running = loop()), pauseMs)
    }
    running = loop()
    return async () => {
      stopped = true
      clearTimeout(timer)
      await running
    }
  },
}
