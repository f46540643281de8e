import { setTimeout as delay } from 'node:timers/promises'
import { call } from '#shared/bus/call.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { AppError, unpackError } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import { waitForEnd } from '#shared/operation/wait.ts'
import { unlessMissing } from '../restore/build-vm.ts'

const tries = 5

async function end(operationId: string): Promise<void> {
  const { state, failure } = await waitForEnd(operationId)
  if (state !== 'succeeded' && failure) throw unpackError(failure)
}

async function removeOnce(id: string, attempt: string): Promise<void> {
  const vm = await unlessMissing(call(vms, 'get', { id }))
  if (!vm) return
  if (vm.status !== 'stopped') {
    const operationId = idFrom(`${attempt}/stop`)
    await call(vms, 'stop', { id, force: true }, { operationId })
    await end(operationId)
  }
  const operationId = idFrom(`${attempt}/delete`)
  await call(vms, 'delete', { id, purge: true }, { operationId })
  await end(operationId)
}

/**
 * Switches the guest of a verification off and deletes it with its disks; one that is gone is fine. A node may be slow, or the
 * guest held for a moment: it is tried again.
 * @param attempt names the operations, so that a repeated step finds them
 */
export async function removeGuest(id: string, attempt: string): Promise<void> {
  for (let tried = 1; ; tried++) {
    try {
      return await removeOnce(id, `${attempt}/${tried}`)
    } catch (error) {
      if (!(error instanceof AppError) || tried === tries) throw error
    }
    await delay(1000)
  }
}
