import { every } from '#shared/runtime/repeat.ts'
import { syncPolicies } from '../policies/sync.ts'
import { attachmentRecords } from './models.ts'
import { settleAttachments, tidyNetworks } from './settle.ts'

const part = 'networks'
const settleEveryMs = 2000
const tidyEveryMs = 3_600_000
/** Time after the start of the service for the first look: nodes are reached by then. */
const firstTidyMs = 10_000

/** Attaches containers that have started, and collects the addresses of the dead. @returns a function that stops it */
export function watchNetworks(): () => void {
  const settle = async () => {
    if ((await attachmentRecords.find({})) && (await settleAttachments())) await syncPolicies()
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
