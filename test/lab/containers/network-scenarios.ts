import { containers } from '#shared/contracts/container/containers.ts'
import { networks } from '#shared/contracts/container/networks.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { Calling, Scenario } from '../faults/scenario.ts'
import type { LabHost } from '../hosts/hosts.ts'
import { lxcFolder, makeArchive } from '../policies/node.ts'
import { done } from '../product/run-operation.ts'

const id = 'fault-net'
const container = 'fault-guest'

/** A running container of a lab host, whose bridges are in the network namespace of the host, and a network. */
const withNetwork = (lab: LabHost) => async (horcrux: Calling) => {
  await horcrux.call(nodes, 'update', { id: 'hv1', engine_config: { lxc: { path: lxcFolder } } }, { timeoutMs: 60_000 })
  const rootfs = await makeArchive(lab)
  const guest = { id: container, name: container, runtime: 'lxc', node: 'hv1', rootfs, start: true }
  await done(horcrux, containers, 'create', guest)
  const subnets = [{ subnet: '10.45.0.0/24' }]
  await horcrux.call(networks, 'create', { id, node: 'hv1', name: id, type: 'bridge', subnets })
}
const attached = (lab: LabHost) => async (horcrux: Calling) => {
  await withNetwork(lab)(horcrux)
  await done(horcrux, networks, 'attach', { id, container })
}

/** At least one for every kind of operation on networks. */
export const networkScenarios = (lab: LabHost): Record<string, Scenario> => ({
  'networks.attach': { before: withNetwork(lab), params: { id, container } },
  'networks.detach': { before: attached(lab), params: { id, container } },
})

/** The networks of the scenarios: as Horcrux reports them, and as the host and the plug-ins have them. */
export async function readNetworks(horcrux: Calling, { netns, stateDir }: LabHost): Promise<{ networks: string[] }> {
  const { data } = await horcrux.call(networks, 'list', { filter: `id:${id}` })
  const recorded = data.flatMap(({ attachments }) =>
    attachments.map((one) => `${one.container} ${one.interface} ${one.state} ${one.addresses.join()}`),
  )
  const host = localHost()
  const links = (await host.run('ip', ['-n', netns, '-o', 'link', 'show', 'type', 'veth', 'up'])).stdout
  const ports = links.split('\n').filter((line) => line.includes(' master hx')).length
  const leases = await host.run('find', [`${stateDir}/cni/${id}`, '-name', '10.45.0.*', '-printf', '%f\n'])
  return { networks: [...data.map((one) => one.id), ...recorded, `${ports} ports`, leases.stdout.trim()] }
}

export async function clearNetworks(horcrux: Calling): Promise<void> {
  for (const { attachments } of (await horcrux.call(networks, 'list', { filter: `id:${id}` })).data) {
    for (const one of attachments) await done(horcrux, networks, 'detach', { id, container: one.container })
    await horcrux.call(networks, 'delete', { id })
  }
}
