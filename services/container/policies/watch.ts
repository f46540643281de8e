import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { containerRecords } from '../model.ts'
import { undoUnconfirmed } from './apply.ts'
import { isStarting } from './gather.ts'
import { enforcedNodes, policyRecords } from './models.ts'
import { reconcileNodes, syncPolicies } from './sync.ts'

const part = 'network-policies'
const lookEveryMs = 1000
/** Without a policy only each fifth look asks the store: the replica that makes the first policy writes it itself. */
const idleTurns = 5
const reconcileEveryMs = 5000
/** Of so many comparisons with the kernel one has the elements too, which are many. */
const elementsEvery = 12
/** Addresses of VMs, resource pools and labels have no event here: all is read again this often. */
const readAgainMs = 30_000

/** Changes when a container starts, ends, gets other labels or another address. */
async function markOf(): Promise<string> {
  const all = await containerRecords.all()
  return all.map(({ id, pid, status, ip, version }) => `${id} ${pid} ${status} ${ip} ${version}`).join('\n')
}

/** Keeps the rules of all nodes true while there are policies. @returns a function that stops it */
export function watchPolicies(): () => void {
  let mark: string | null = null
  let readAt = 0
  let turns = 0
  let looks = 0
  const look = async () => {
    if (mark === null && looks++ % idleTurns !== 0) return
    await undoUnconfirmed()
    if (!(await policyRecords.find({})) && !(await enforcedNodes.find({ written_by: { $ne: null } }))) {
      mark = null
      return
    }
    const next = await markOf()
    if (next === mark && !isStarting() && Date.now() - readAt < readAgainMs) return
    await syncPolicies()
    mark = next
    readAt = Date.now()
  }
  const ends = [
    every(lookEveryMs, look, { part, failed: 'the network policies could not be brought into effect' }),
    every(reconcileEveryMs, () => reconcileNodes(turns++ % elementsEvery === 0), {
      part,
      failed: 'the rules of a node could not be compared',
    }),
  ]
  log(part).debug('watching')
  return () => ends.forEach((end) => end())
}
