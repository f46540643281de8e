import { call } from '#shared/bus/call.ts'
import { recordAudit } from '#shared/audit/audit.ts'
import { subjectOf } from '#shared/access/access.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { Finding } from '#shared/contracts/vm/findings.ts'
import { AppError, LateCallError } from '#shared/errors.ts'
import { removeFile } from '#shared/nodes/host/made-files.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { changing } from '#shared/operation/locks.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { requestContext, within } from '#shared/runtime/request-context.ts'
import { driverOf } from '../drivers/drivers.ts'
import { apiPathOf } from '../model.ts'
import { type Found, find, isGone, type Target } from './find.ts'

const sweepEveryMs = 600_000
/** A removal begins and ends within this time of its check, or it is left to the next sweep. Milliseconds. */
const removedWithinMs = 3000

async function remove(target: Target): Promise<void> {
  if (target.kind === 'guest') {
    const driver = driverOf(target.guest)
    // To undefine a guest switches it off.
    if ((await driver.status(target.guest)).status === 'stopped') await driver.undefine(target.guest)
  } else if (target.kind === 'volume') {
    const { pool: id, volume, owner } = target
    await call(volumesInternal, 'deleteFor', { id, volume, owner })
  } else if (target.kind === 'image') {
    await call(volumesInternal, 'removeUnfinished', { id: target.pool, name: target.name })
  } else {
    await removeFile((await reach(target.node)).host, target.path)
  }
}

/** Runs a removal that stops before its next effect when its time is over, as after a stop of the process. */
function inTime<T>(work: () => Promise<T>): Promise<T> {
  const until = Date.now() + removedWithinMs
  const requireCurrent = () => {
    if (Date.now() > until) throw new LateCallError('The removal took too long; the next sweep looks again')
  }
  return within({ ...requestContext()!, requireCurrent }, work)
}

/** Removes a thing, with the lock of its VM, if the VM is still gone. @returns false when it is not */
async function removeOne({ finding: { owner }, target, vm }: Found): Promise<boolean> {
  if (owner === null || vm === null) {
    await inTime(() => remove(target))
    return true
  }
  const user = subjectOf(requestContext()!.caller)
  return changing(apiPathOf(vm), user, 'findings sweep', () =>
    inTime(async () => {
      if (!(await isGone(vm))) return false
      await remove(target)
      return true
    }),
  )
}

/** Removes what {@link find} finds with the action `remove`. @returns it */
export async function sweep(): Promise<Finding[]> {
  const { found } = await find()
  const removed: Finding[] = []
  const { caller, requestId } = requestContext()!
  for (const each of found) {
    const { finding } = each
    if (finding.action !== 'remove') continue
    try {
      if (!(await removeOne(each))) continue
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      log('vms').warn({ err: error, finding }, 'a leftover could not be removed')
      continue
    }
    removed.push(finding)
    log('vms').info({ finding }, 'a leftover was removed')
    await recordAudit({
      caller,
      kind: 'config_changed',
      path: finding.owner ?? '/api/findings',
      action: 'findings.sweep',
      result: 'success',
      request_id: requestId,
      operation_id: finding.operation_id,
      message: `Removed the ${finding.kind} ${finding.name}: ${finding.reason}`,
    })
  }
  return removed
}

/** @returns a function that stops it */
export const sweepLeftovers = (): (() => void) =>
  every(sweepEveryMs, sweep, { part: 'vms', failed: 'leftovers could not be swept' })
