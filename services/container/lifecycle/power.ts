import type { Params } from '#shared/contract/contract.ts'
import { containerPowerStates } from '#shared/contracts/power-states.ts'
import type { Container, containers } from '#shared/contracts/container/containers.ts'
import type { ContainerStatus } from '#shared/contracts/container/parts.ts'
import { reach, requireServing } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { driverOf } from '../drivers/drivers.ts'
import { apiPathOf, type ContainerRecord, containerRecords, viewOf } from '../model.ts'
import { requireStatus, settle, settledForChange } from '../state/settle.ts'
import { requireMounts } from './mounts.ts'

/** Makes a power operation: it holds and checks the container before it is accepted, and ends with its status read again. */
function power<P extends { id: string }>(
  action: string,
  from: readonly ContainerStatus[],
  work: (op: Op, container: ContainerRecord, input: P) => Promise<unknown>,
) {
  return operation({
    accept: async (params: P, { hold }) => {
      await hold(apiPathOf(params.id))
      const container = await settledForChange(params.id, action)
      requireStatus(container, action, from)
      if (container.status === 'stopped') await requireServing(container.node)
      return params
    },
    run: async (op, input): Promise<Container> => {
      await work(op, await containerRecords.require(input.id), input)
      return viewOf(await settle(input.id))
    },
  })
}

/** Starts a container after another look at its mounts. */
export async function begin(container: ContainerRecord): Promise<void> {
  await requireMounts(await reach(container.node), container)
  const driver = driverOf(container)
  await driver.start(container)
  const { memory, cpus, pids } = container
  const limits = { ...(memory && { memory }), ...(cpus && { cpus }), ...(pids && { pids }) }
  if (driver.limits.areForgotten && Object.keys(limits).length > 0) await driver.limits.change(container, limits)
}

const stopNow = (container: ContainerRecord) => driverOf(container).stop(container, { graceSeconds: 0 })

export const start = power<Params<typeof containers, 'start'>>('start', containerPowerStates.start, (op, container) =>
  op.step('starting container', () => begin(container), { undo: () => stopNow(container) }),
)

export const stop = power<Params<typeof containers, 'stop'>>(
  'stop',
  containerPowerStates.stop,
  async (op, container, { timeout }) => {
    await op.commit()
    await op.step('stopping container', () => driverOf(container).stop(container, { graceSeconds: timeout }))
  },
)

export const restart = power<Params<typeof containers, 'restart'>>(
  'restart',
  containerPowerStates.restart,
  async (op, container, { timeout }) => {
    // A container that could not be started again is left running.
    await op.step('checking mounts', async () => requireMounts(await reach(container.node), container))
    await op.commit()
    await op.step('stopping container', () => driverOf(container).stop(container, { graceSeconds: timeout }))
    await op.step('starting container', () => begin(container))
  },
)

export const pause = power<Params<typeof containers, 'pause'>>('pause', containerPowerStates.pause, (op, container) =>
  op.step('pausing', () => driverOf(container).pause(container), { undo: () => driverOf(container).resume(container) }),
)

/** A container that runs already is fine. */
export const resume = power<Params<typeof containers, 'resume'>>(
  'resume',
  containerPowerStates.resume,
  (op, container) => op.step('resuming', () => driverOf(container).resume(container)),
)
