import type { Params } from '#shared/contract/contract.ts'
import { vmPowerStates } from '#shared/contracts/power-states.ts'
import type { ShutdownMode, Vm, VmStatus, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { requireServing } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { requireNotReplaced, startDefined } from './start-domain.ts'
import { driverOf, requirePart } from '../drivers/drivers.ts'
import { apiPathOf, type VmRecord, viewOf, vmRecords } from '../model.ts'
import { endRestore } from '../snapshots/restored.ts'
import { requireStatus, settle, settleAs } from '../state/status.ts'
import { requireNoTemplate } from './template-checks.ts'
import { waitForStop } from './wait-for-shutdown.ts'

/** Makes a power operation: it holds and checks the VM before it is accepted, and ends when the status is reached. */
function power<P extends { id: string }>(
  action: string,
  from: readonly VmStatus[],
  to: VmStatus,
  work: (op: Op, vm: VmRecord, input: P) => Promise<unknown>,
) {
  return operation({
    accept: async (params: P, { hold }) => {
      await hold(apiPathOf(params.id))
      requireNoTemplate(await vmRecords.requireForChange(params.id), action)
      const vm = await settle(params.id)
      requireStatus(vm, action, from)
      if (vm.status === 'stopped') {
        await requireServing(vm.node)
        await requireNotReplaced(vm)
      }
      return params
    },
    run: async (op, input): Promise<Vm> => {
      await work(op, await vmRecords.require(input.id), input)
      return viewOf(requireReached(await settleAs(input.id, to), action, to))
    },
  })
}

/** @throws ConflictError when the status was not reached; UnavailableError when it is unknown */
function requireReached(vm: VmRecord, action: string, to: VmStatus): VmRecord {
  if (vm.status === to) return vm
  if (vm.status === 'unknown') requireStatus(vm, action, [to])
  const why = vm.status_reason === null ? '' : ` (${vm.status_reason})`
  throw new ConflictError(`Virtual machine '${vm.id}' was to be ${to} after the ${action}, but is ${vm.status}${why}`, {
    details: { status: vm.status, wanted: to },
  })
}

const desire = (vm: VmRecord, desired_state: Vm['desired_state']) =>
  vm.desired_state === desired_state ? undefined : vmRecords.updateWhere({ _id: vm.id }, { set: { desired_state } })

/** Asks the guest to shut down, and waits. @returns false when it has not stopped in time */
async function stopGently(
  op: Op,
  vm: VmRecord,
  seconds: number,
  { undo, mode }: { undo?: (hasStopped?: boolean) => Promise<unknown>; mode?: ShutdownMode | undefined } = {},
): Promise<boolean> {
  await op.step('asking the guest', () => driverOf(vm).shutdown(vm, mode))
  return op.step('waiting for the guest', () => waitForStop(vm, seconds * 1000, op.signal), undo && { undo })
}

const stubborn = ({ id }: VmRecord, seconds: number) =>
  new ConflictError(
    `The guest of '${id}' has not shut down within ${seconds} s: it may not react to its power button, and have no agent. Stop it by force with POST /api/vms/${id}/stop`,
  )

async function startAgain(op: Op, vm: VmRecord): Promise<void> {
  await op.step('starting domain', () => startDefined(vm))
}

export const start = power<Params<typeof vms, 'start'>>('start', vmPowerStates.start, 'running', async (op, vm) => {
  await op.step('starting domain', () => startDefined(vm), { undo: async () => driverOf(vm).stop(vm) })
  await op.commit()
  await op.step('recording', async () => desire(vm, 'running'))
  // The guest writes from now on: the state before a restore is given up.
  await op.step('ending restore', () => endRestore(vm.id))
})

export const shutdown = power<Params<typeof vms, 'shutdown'>>(
  'shut down',
  vmPowerStates.shutdown,
  'stopped',
  async (op, vm, { timeout, mode }) => {
    if (!(await stopGently(op, vm, timeout, { mode }))) throw stubborn(vm, timeout)
    await op.commit()
    await op.step('recording', async () => desire(vm, 'stopped'))
  },
)

export const stop = power<Params<typeof vms, 'stop'>>(
  'stop',
  vmPowerStates.stop,
  'stopped',
  async (op, vm, { force, timeout = 0 }) => {
    const hasStopped = !force && timeout > 0 && (await stopGently(op, vm, timeout))
    await op.commit()
    if (!hasStopped) await op.step('switching off', () => driverOf(vm).stop(vm))
    await op.step('recording', async () => desire(vm, 'stopped'))
  },
)

export const restart = power<Params<typeof vms, 'restart'>>(
  'restart',
  vmPowerStates.restart,
  'running',
  async (op, vm, { force, timeout }) => {
    const startAfterAll = async (hasStopped?: boolean) => hasStopped && driverOf(vm).start(vm)
    const hasStopped = await stopGently(op, vm, timeout, { undo: startAfterAll })
    if (!hasStopped && !force) throw stubborn(vm, timeout)
    await op.commit()
    if (!hasStopped) await op.step('switching off', () => driverOf(vm).stop(vm))
    await startAgain(op, vm)
  },
)

const powerOf = (vm: VmRecord) =>
  requirePart(vm, 'power', (hypervisor) => `A virtual machine of ${hypervisor} is only started and stopped`)

export const reset = power<Params<typeof vms, 'reset'>>('reset', vmPowerStates.reset, 'running', (op, vm) =>
  op.step('resetting', () => powerOf(vm).reset(vm)),
)

export const pause = power<Params<typeof vms, 'pause'>>('pause', vmPowerStates.pause, 'paused', (op, vm) =>
  op.step('pausing', () => powerOf(vm).pause(vm), { undo: () => powerOf(vm).resume(vm) }),
)

export const resume = power<Params<typeof vms, 'resume'>>('resume', vmPowerStates.resume, 'running', (op, vm) =>
  op.step('resuming', () => powerOf(vm).resume(vm), { undo: () => powerOf(vm).pause(vm) }),
)
