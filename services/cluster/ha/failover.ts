import { call } from '#shared/bus/call.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { haResources } from '#shared/contracts/cluster/ha.ts'
import { fencing } from '#shared/contracts/vm/fencing.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { operation } from '#shared/operation/kinds.ts'
import { throwAll } from '#shared/service/violations.ts'
import { groupRecords, resourceRecords, rulesOf } from './model.ts'
import { gather } from './world.ts'

type Outcome = Result<typeof haResources, 'failover'>
type Input = Omit<Outcome, 'proof'> & { isConfirmed: boolean; acceptsDeadline: boolean }

/**
 * Starts a VM under HA as it was decided, with the evidence first. Before the epoch is raised nothing has an effect; from then
 * on it can only go forward: a guest on the former node is ended by its guard.
 */
export const failover = operation({
  accept: async ({ id }: Params<typeof haResources, 'failover'>, { hold }): Promise<Input> => {
    await hold(`/api/ha/resources/${id}`, `/api/vms/${id}`)
    const resource = await resourceRecords.requireForChange(id)
    const { decisions, vms, world } = await gather({ holder: id })
    const decision = decisions.get(id)
    const vm = vms.find((each) => each.id === id)
    if (!vm || decision?.kind !== 'start')
      throw new ConflictError(
        `Virtual machine '${id}' is not started by HA: ${decision?.reason ?? 'it is not known'}`,
        {
          details: { decision: decision?.kind },
        },
      )
    const { to, reason, isConfirmed } = decision
    throwAll((await call(fencing, 'check', { id, target: to }, { isQuestion: true, timeoutMs: 60_000 })).violations)
    return {
      vm_id: id,
      from: vm.node,
      to,
      epoch: vm.epoch + 1,
      reason,
      isConfirmed,
      acceptsDeadline: rulesOf(resource, await groupRecords.all()).least_proof === 'deadline',
      inputs: [
        ...world.nodes.map((node) => `${node.id} ${node.state}${node.isConfirmedOff ? ', confirmed off' : ''}`),
        ...(vm.lost_storage === null ? [] : [`ended by its guard on ${vm.node}, storage ${vm.lost_storage} there`]),
      ],
    }
  },
  run: async (op, { isConfirmed, acceptsDeadline, ...input }: Input): Promise<Outcome> => {
    const { vm_id: id, from, to: target, epoch, reason, inputs } = input
    await op.commit()
    await op.step('recording', async () => {
      op.log(`${reason}; seen: ${inputs.join('; ')}`)
      const attempt = { at: now(), from, to: target }
      await resourceRecords.change(id, ({ attempts }) => ({ set: { attempts: [...attempts, attempt] } }))
      return null
    })
    await op.step(`raising epoch to ${epoch}`, () =>
      call(fencing, 'raise', { id, target, epoch }, { timeoutMs: 60_000 }),
    )
    const proof = await op.step(`fencing on ${from}`, () =>
      call(
        fencing,
        'prove',
        { id, target, is_confirmed: isConfirmed, accepts_deadline: acceptsDeadline },
        { timeoutMs: 120_000 },
      ),
    )
    op.log(`Evidence that node '${from}' does not run the guest: ${proof}`)
    await op.step(`taking over on ${target}`, () => call(fencing, 'take', { id, target }, { timeoutMs: 90_000 }))
    const refusal = await op.step('starting guest', () => call(fencing, 'start', { id }, { timeoutMs: 120_000 }))
    if (refusal !== null) throw new ConflictError(`The guest of '${id}' does not start on '${target}': ${refusal}`)
    return { ...input, proof }
  },
})
