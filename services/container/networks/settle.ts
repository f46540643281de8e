import { type Held, releaseLease } from '#shared/db/lease.ts'
import { takeOver } from '#shared/db/take-over.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { log } from '#shared/runtime/log.ts'
import { containerRecords } from '../model.ts'
import { addressesOf, attach, detach, portOf } from './attachment.ts'
import { freeDeadLeases } from './leases.ts'
import { type AttachmentRecord, attachmentRecords, type NetworkRecord, networkRecords } from './models.ts'
import { configOf } from './plan.ts'
import { type Attaching, type CniResult, versionFor } from './plugins.ts'
import { endTranslation, translate } from './translation.ts'

const leaseMs = 60_000

export const dataDirOf = ({ node }: Reached): string => `${node.state_dir}/cni`

/** Parameters of an ADD for the present process of a container. */
async function attachingOf(
  reached: Reached,
  network: NetworkRecord,
  record: AttachmentRecord,
  pid: number,
): Promise<Attaching> {
  const config = configOf(network, dataDirOf(reached))
  return {
    cniVersion: await versionFor(reached.host, [...config.plugins.map(({ type }) => type), 'host-local']),
    config,
    container: record.id,
    ifname: record.interface,
    netns: `/proc/${pid}/ns/net`,
    capabilities: {
      portMappings: record.ports.map(({ host_port, container_port, protocol, host_ip }) => ({
        hostPort: host_port,
        containerPort: container_port,
        protocol,
        ...(host_ip && { hostIP: host_ip }),
      })),
    },
  }
}

/** Removes an interface of a node; one that is gone is fine. */
async function removeLink(host: Host, name: string): Promise<void> {
  const isThere = async () => (await host.run('ip', ['link', 'show', name])).code === 0
  if (!(await isThere())) return
  const removed = await host.run('ip', ['link', 'delete', name])
  // It also goes with its namespace, which may end just now.
  if (removed.code !== 0 && (await isThere()))
    throw new ConflictError(`Interface '${name}' cannot be removed: ${removed.stderr.trim()}`)
}

/** Detaches by what the last ADD used; a namespace that has gone is fine. */
async function takeBack(reached: Reached, record: AttachmentRecord, isAlive: boolean): Promise<void> {
  const { added, result, bridge_port } = record
  if (!added) return
  await detach(reached.host, isAlive ? added : { ...added, netns: '' }, result)
  // A process that outlived the container holds its namespace: two machines on the bridge would answer for one address.
  if (bridge_port !== null) await removeLink(reached.host, bridge_port)
}

const macOf = ({ interfaces = [] }: CniResult): string | null => interfaces.find(({ sandbox }) => sandbox)?.mac ?? null

/** Runs work on an attachment that no other replica works on at the time. @returns undefined when one does */
async function leased<T>(
  id: string,
  work: (record: AttachmentRecord, held: Held) => Promise<T>,
): Promise<T | undefined> {
  const read = async () => (await attachmentRecords.get(id))?.lease
  const taken = await takeOver<{ epoch: number }>(attachmentRecords.model, id, { ms: leaseMs, read })
  if (!taken) return undefined
  const held = { id, epoch: taken.epoch }
  try {
    return await work(await attachmentRecords.require(id), held)
  } finally {
    await releaseLease(attachmentRecords.model, held)
  }
}

const write = (id: string, set: Partial<AttachmentRecord>) => attachmentRecords.updateWhere({ _id: id }, { set })

/** Time until a container that could not be attached is tried again. */
const retryMs = 30_000
const failedAt = new Map<string, number>()
const isWaiting = (id: string) => Date.now() - (failedAt.get(id) ?? 0) < retryMs

/** Attaches a container that runs, if its process is not the one that is attached. */
async function addNow(reached: Reached, network: NetworkRecord, record: AttachmentRecord, pid: number): Promise<void> {
  const { id } = record
  await takeBack(reached, record, false)
  const about = await attachingOf(reached, network, record, pid)
  await write(id, { added: about, result: null, pid, state: 'waiting', state_reason: null })
  try {
    const result = await attach(reached.host, about, record.addresses)
    if (network.type === 'bridge' && !network.internal) await translate(reached.host, network)
    const seen = { addresses: addressesOf(result), mac: macOf(result), bridge_port: portOf(result) }
    await write(id, { result, state: 'attached', ...seen })
    failedAt.delete(id)
  } catch (error) {
    failedAt.set(id, Date.now())
    await write(id, { state: 'failed', state_reason: (error as Error).message.slice(0, 500) })
    throw error
  }
}

/**
 * Brings an attachment to the state of its container: attached to the process that runs now, kept while it is stopped, taken
 * back when the container has gone.
 * @returns true when it has changed; `busy` when another replica is at work on it
 */
export async function settleAttachment(id: string): Promise<boolean | 'busy'> {
  const changed = await leased(id, async (record) => {
    const network = await networkRecords.require(record.network)
    const reached = await reach(network.node)
    const container = await containerRecords.get(record.container)
    if (!container) {
      await takeBack(reached, record, false)
      await attachmentRecords.removeWhere({ _id: id })
      return true
    }
    const { pid, status } = container
    const isCurrent = record.pid === pid && (record.state === 'attached' || isWaiting(id))
    if (pid === null || status === 'unknown' || isCurrent) return false
    await addNow(reached, network, record, pid)
    return true
  })
  return changed ?? 'busy'
}

/** Ends an attachment. @returns false when another replica is at work on it */
export async function endAttachment({ id, container }: AttachmentRecord): Promise<boolean> {
  const done = await leased(id, async (record) => {
    const network = await networkRecords.require(record.network)
    const there = await containerRecords.get(container)
    await takeBack(await reach(network.node), record, there?.pid !== null && there?.pid === record.pid)
    await attachmentRecords.removeWhere({ _id: id })
    return true
  })
  return done ?? false
}

/** Settles all attachments; one that fails does not keep the others. @returns true when one has changed */
export async function settleAttachments(): Promise<boolean> {
  let isChanged = false
  for (const { id } of await attachmentRecords.all())
    try {
      if ((await settleAttachment(id)) === true) isChanged = true
    } catch (error) {
      log('networks').warn({ err: error, attachment: id }, 'a container could not be attached')
    }
  return isChanged
}

/** Frees addresses that no attachment holds, and writes the translation of addresses again where others have flushed it. */
export async function tidyNetworks(): Promise<void> {
  for (const network of await networkRecords.all()) {
    const reached = await reach(network.node)
    // Attachments are read after the leases: one that is being made has its record first.
    const held = (await attachmentRecords.all({ network: network.id })).map((one) => ({
      container: one.id,
      ifname: one.interface,
    }))
    const where = { dataDir: dataDirOf(reached), network: network.id }
    const freed = await freeDeadLeases(reached.host, where, held)
    if (freed.length > 0)
      log('networks').info({ network: network.id, freed: freed.length }, 'addresses of the dead are free again')
    if (network.type === 'bridge' && !network.internal && held.length > 0) await translate(reached.host, network)
  }
}

/** Removes all of a network from its node. Doing it twice is fine. */
export async function removeNetwork(network: NetworkRecord, bridge: string | null): Promise<void> {
  const reached = await reach(network.node)
  const { host } = reached
  await host.remove(`${dataDirOf(reached)}/${network.id}`, { recursive: true })
  if (bridge === null) return
  if (!network.internal) await endTranslation(host, network.id)
  await removeLink(host, bridge)
}
