import { allPages } from '#shared/bus/all-pages.ts'
import { call } from '#shared/bus/call.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { Labels } from '#shared/contracts/container/network-policies.ts'
import { guests } from '#shared/contracts/vm/guests.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { containerRecords } from '../model.ts'
import { gapOf, type Nic, type NodeNetwork, observeContainer, observeNode } from './observe.ts'
import type { Endpoint, NamedPort } from './world.ts'

/** A container or VM with the node that it is on. `gap`: why policies do not hold for it. */
export type Found = { node: string; endpoint: Endpoint; gap: string | null }

/** Everything that policies are about: the same for all nodes. */
export type Everything = {
  found: Found[]
  scopes: Map<string, Labels>
  networks: Map<string, NodeNetwork>
  /** Nodes that do not answer, with the reason. */
  unreachable: Map<string, string>
}

const listPools = () => allPages((page) => call(resourcePools, 'list', page, { isQuestion: true }))
const listVms = () => allPages((page) => call(vms, 'list', page, { isQuestion: true }))

/** Label with the names of a container's ports: `http=80,dns=53/udp`. */
export const portsLabel = 'horcrux.io/ports'

export function namedPorts(labels: Labels): NamedPort[] {
  return (labels[portsLabel] ?? '').split(',').flatMap((text) => {
    const [, name, port, protocol = 'tcp'] = /^\s*([a-z0-9-]{1,15})=(\d{1,5})(?:\/(tcp|udp|sctp))?\s*$/.exec(text) ?? []
    return name && port && Number(port) <= 65_535 ? [{ name, protocol, port: Number(port) }] : []
  })
}

/** `since`: when the process was first seen. */
type Seen = { pid: number; since: number; at: number; nics: Nic[] | null }
/** Interfaces by container. They change with its process; others may add one to a running container. */
const seen = new Map<string, Seen>()
const freshMs = 30_000
/** Interfaces and addresses of a new process come one after the other: it is read each time until it is this old. */
const youngMs = 10_000

const isYoung = ({ since }: Seen) => Date.now() - since < youngMs

/** True while a container has started so lately that it may not have all of its addresses. */
export const isStarting = (): boolean => [...seen.values()].some(isYoung)

async function nicsOf(host: Host, id: string, pid: number, network: NodeNetwork): Promise<Nic[] | null> {
  const known = seen.get(id)
  const at = Date.now()
  if (known?.pid === pid && !isYoung(known) && at - known.at < freshMs) return known.nics
  const nics = await observeContainer(host, pid, network)
  seen.set(id, { pid, since: known?.pid === pid ? known.since : at, at, nics })
  return nics
}

/** Ports for the guard. An interface without an address is not guarded: it may get one in a moment. */
const guarded = (nics: readonly Nic[] | null, fixed: readonly string[]) =>
  (nics ?? [])
    .filter(({ port, bridge, addresses }) => port !== '' && bridge !== null && addresses.length > 0)
    .map(({ port, addresses }) => ({ port, addresses: [...new Set([...addresses, ...fixed])] }))

export const containerPath = (id: string) => `/api/containers/${id}`
export const vmPath = (id: string) => `/api/vms/${id}`

/** Fixed addresses of containers, by path: also those that do not run. */
export type Fixed = ReadonlyMap<string, readonly string[]>

async function containersOn(
  node: Reached,
  network: NodeNetwork,
  scopes: ReadonlyMap<string, string[]>,
  fixed: Fixed,
): Promise<Found[]> {
  const found: Found[] = []
  for (const { id, status, pid, labels } of await containerRecords.all({ node: node.node.id })) {
    const path = containerPath(id)
    const isRunning = pid !== null && status !== 'stopped'
    if (!isRunning) seen.delete(id)
    const nics = isRunning ? await nicsOf(node.host, id, pid, network) : []
    const addresses = new Set([...(fixed.get(path) ?? []), ...(nics ?? []).flatMap((nic) => nic.addresses)])
    const isWithout = addresses.size === 0 && nics !== null && nics.length > 0
    found.push({
      node: node.node.id,
      gap: isWithout ? 'It has no address that is known' : gapOf(nics, network),
      endpoint: {
        id: path,
        scopes: scopes.get(path) ?? [],
        labels,
        addresses: nics === null ? [] : [...addresses],
        ports: namedPorts(labels),
        nics: guarded(nics, fixed.get(path) ?? []),
        isLocal: true,
      },
    })
  }
  return found
}

type Vm = Awaited<ReturnType<typeof listVms>>[number]

type Told = { at: number; addresses: Promise<string[]> }
/** Addresses that agents told, by VM: an agent that does not answer takes seconds to say so. */
const told = new Map<string, Told>()

/** Addresses that the agent of a guest tells. There is no other source for a VM with an address of its own making. */
async function askAgent({ id, nics }: Vm): Promise<string[]> {
  const agent = await call(guests, 'agent', { id }, { isQuestion: true }).catch(() => null)
  const macs = new Set(nics.map(({ mac }) => mac.toLowerCase()))
  return (agent?.interfaces ?? [])
    .filter(({ mac }) => mac !== null && macs.has(mac.toLowerCase()))
    .flatMap((one) => one.addresses.map((address) => address.split('/')[0]!))
    .filter((address) => !address.startsWith('fe80:'))
}

function addressesOfVm(vm: Vm): Promise<string[]> {
  if (vm.status !== 'running') {
    told.delete(vm.id)
    return Promise.resolve([])
  }
  const known = told.get(vm.id)
  if (known && Date.now() - known.at < freshMs) return known.addresses
  const asked = { at: Date.now(), addresses: askAgent(vm) }
  told.set(vm.id, asked)
  return asked.addresses
}

async function vmFound(vm: Vm, network: NodeNetwork, scopes: ReadonlyMap<string, string[]>): Promise<Found> {
  const path = vmPath(vm.id)
  const addresses = await addressesOfVm(vm)
  const isUnknown = vm.status === 'running' && vm.nics.length > 0 && addresses.length === 0
  const labels = Object.fromEntries(vm.tags.map((tag) => [tag, '']))
  return {
    node: vm.node,
    gap: isUnknown ? 'No agent in the guest tells its addresses' : gapOf([], network),
    endpoint: { id: path, scopes: scopes.get(path) ?? [], labels, addresses, ports: [], nics: [], isLocal: true },
  }
}

const folders = { vm: vmPath, container: containerPath }

/** Reads all containers and VMs with their addresses, and the networks of all nodes. */
export async function gather(nodes: readonly Reached[], fixed: Fixed): Promise<Everything> {
  const [pools, machines] = await Promise.all([listPools(), listVms()])
  const scopes = new Map<string, string[]>()
  for (const { id, members } of pools)
    for (const { kind, id: member } of members)
      if (kind === 'vm' || kind === 'container') {
        const path = folders[kind](member)
        scopes.set(path, [...(scopes.get(path) ?? []), id])
      }
  const everything: Everything = {
    found: [],
    scopes: new Map(pools.map(({ id, labels }) => [id, labels])),
    networks: new Map(),
    unreachable: new Map(),
  }
  await Promise.all(
    nodes.map(async (node) => {
      const { id } = node.node
      try {
        const network = await observeNode(node.host)
        everything.networks.set(id, network)
        everything.found.push(...(await containersOn(node, network, scopes, fixed)))
        const ofNode = machines.filter((one) => one.node === id)
        everything.found.push(...(await Promise.all(ofNode.map((vm) => vmFound(vm, network, scopes)))))
      } catch (error) {
        everything.unreachable.set(id, (error as Error).message)
      }
    }),
  )
  const there = new Set(machines.map(({ id }) => id))
  for (const id of told.keys()) if (!there.has(id)) told.delete(id)
  const known = new Set(everything.found.map(({ endpoint }) => endpoint.id))
  for (const id of seen.keys()) if (!known.has(containerPath(id))) seen.delete(id)
  return everything
}
