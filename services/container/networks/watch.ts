import { every } from '#shared/runtime/repeat.ts'
import { syncPolicies } from '../policies/sync.ts'
import { attachmentRecords } from './models.ts'
import { settleAttachments, tidyNetworks } from './settle.ts'

const part = 'networks'
const settleEveryMs = 2000
/** Without an attachment only each fifth turn asks the store: a new one is attached by the call that makes it. */
const idleTurns = 5
const tidyEveryMs = 3_600_000
/** Time after the start of the service for the first look: nodes are reached by then. */
const firstTidyMs = 10_000

/** Attaches containers that have started, and collects the addresses of the dead. @returns a function that stops it */
export function watchNetworks(): () => void {
  let turns = 0
  let isUsed = true
  const settle = async () => {
    if (!isUsed && turns++ % idleTurns !== 0) return
    isUsed = (await attachmentRecords.find({})) !== null
    if (isUsed && (await settleAttachments())) await syncPolicies()
  }
  const tidy = { part, failed: 'the networks could not be tidied' }
  const first = setTimeout(() => void tidyNetworks().catch(() => {}), firstTidyMs)
  const ends = [
    every(settleEveryMs, settle, { part, failed: 'attachments could not be settled' }),
    every(tidyEveryMs, tidyNetworks, tidy),
  ]
  return () => {
    clearTimeout(first)
    for (const end of ends) end()
  }
}
