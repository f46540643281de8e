import { setTimeout as delay } from 'node:timers/promises'
import { requireRight } from '#shared/access/require-right.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { Attachment, networks } from '#shared/contracts/container/networks.ts'
import { alreadyExists, ConflictError, invalid, notFound, UnavailableError, ValidationError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { type Accepting, operation } from '#shared/operation/kinds.ts'
import { apiPathOf, containerRecords } from '../model.ts'
import { syncPolicies } from '../policies/sync.ts'
import { violationsOfAttachment } from './attachment-rules.ts'
import { attachmentRecords, networkRecords, viewOfAttachment } from './models.ts'
import { endAttachment, settleAttachment } from './settle.ts'

type Given = Params<typeof networks, 'attach'>
type Input = Pick<Attachment, 'id' | 'network' | 'container' | 'interface' | 'addresses' | 'ports'>

/** Time to wait for another replica that works on the attachment. */
const patienceMs = 20_000
const pauseMs = 50

export const networkPathOf = (id: string) => `/api/networks/${id}`
/** The lock of an attachment that begins or ends. */
const pathOf = (network: string, container: string) => `${networkPathOf(network)}/attachments/${container}`

/** Runs work that another replica may be at, until it is free. */
async function patient(work: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + patienceMs
  while (!(await work())) {
    if (Date.now() > end) throw new UnavailableError('Another replica is at work on the attachment')
    await delay(pauseMs)
  }
}

async function record(input: Input): Promise<void> {
  if (await attachmentRecords.get(input.id)) return
  const empty = { mac: null, bridge_port: null, lease: null, added: null, result: null, pid: null, state_reason: null }
  await attachmentRecords.insert({ ...input, ...empty, state: 'waiting', epoch: 0, created_at: now() })
}

/** Attaches a container that runs. @throws ConflictError with the words of the plug-in */
async function attachNow(id: string): Promise<void> {
  await patient(async () => (await settleAttachment(id)) !== 'busy')
  const { state, state_reason, container } = await attachmentRecords.require(id)
  if (state === 'failed') throw new ConflictError(`Container '${container}' is not attached: ${state_reason}`)
}

async function endNow(id: string): Promise<void> {
  await patient(async () => {
    const there = await attachmentRecords.get(id)
    return there === null || endAttachment(there)
  })
}

export const attach = operation({
  accept: async (given: Given, accepting: Accepting): Promise<Input> => {
    const { id, container, interface: ifname, addresses, ports } = given
    const network = await networkRecords.require(id)
    const there = await containerRecords.require(container)
    requireRight(accepting, 'ContainerConfig', apiPathOf(container))
    await accepting.hold(pathOf(id, container))
    await accepting.share(networkPathOf(id))
    if (there.node !== network.node)
      throw invalid('container', `is on node '${there.node}', the network is on node '${network.node}'`)
    const own = await attachmentRecords.all({ container })
    if (own.some((one) => one.network === id)) throw alreadyExists(container, { field: 'container' })
    const taken = new Set(own.map((one) => one.interface))
    const free = Array.from({ length: own.length + 1 }, (_, index) => `net${index}`).find((name) => !taken.has(name))!
    const found = violationsOfAttachment({ addresses, ports }, network, await attachmentRecords.all({ network: id }))
    if (ifname !== undefined && taken.has(ifname))
      found.push({ field: 'interface', code: 'taken', message: 'is an interface of the container already' })
    if (found.length > 0) throw new ValidationError(found)
    return { id: newId(), network: id, container, interface: ifname ?? free, addresses, ports }
  },
  run: async (op, input): Promise<Attachment> => {
    await op.step('recording attachment', () => record(input), { undo: () => endNow(input.id) })
    await op.step('attaching', () => attachNow(input.id))
    await op.step('writing policies', syncPolicies, { undo: syncPolicies })
    return viewOfAttachment(await attachmentRecords.require(input.id))
  },
})

export const detach = operation({
  accept: async ({ id, container }: Params<typeof networks, 'detach'>, accepting): Promise<{ attachment: string }> => {
    requireRight(accepting, 'ContainerConfig', apiPathOf(container))
    await accepting.hold(pathOf(id, container))
    await accepting.share(networkPathOf(id))
    const attachment = await attachmentRecords.find({ network: id, container })
    if (!attachment) throw notFound('Attachment', container)
    return { attachment: attachment.id }
  },
  run: async (op, { attachment }): Promise<null> => {
    await op.commit()
    await op.step('detaching', () => endNow(attachment))
    await op.step('writing policies', syncPolicies)
    return null
  },
})
