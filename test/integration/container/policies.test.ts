import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Container } from '#shared/contracts/container/containers.ts'
import { networkPolicies } from '#shared/contracts/container/network-policies.ts'
import { type Attachment, networks } from '#shared/contracts/container/networks.ts'
import { ConflictError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { containerService } from '../../../services/container/service.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { addPolicyNode, type PolicyNode } from '../../lab/policies/node.ts'
import { canRun, startTalker, type Talker } from '../../lab/policies/namespaces.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'
import { vmService } from '../../../services/vm/service.ts'

const isThere = (await canRun()) && labHosts.length > 0

let horcrux: TestHorcrux
let node: PolicyNode
const guests: Record<string, { container: Container; talker: Talker; address: string }> = {}

async function join(name: string, labels: Record<string, string>, given: object = {}) {
  const container = await node.run(name, labels)
  // The result of the operation is the attachment.
  const attached = (await done(horcrux, networks, 'attach', { id: 'web', container: name, ...given })) as Attachment
  expect(attached).toMatchObject({ state: 'attached', interface: 'net0' })
  const talker = await startTalker(await node.inside(container))
  await talker.serve(80)
  guests[name] = { container, talker, address: attached.addresses[0]! }
}

beforeAll(async () => {
  if (!isThere) return
  horcrux = await startHorcrux({ services: [clusterService, containerService, vmService] })
  node = await addPolicyNode(horcrux, labHosts[0]!, 'lab')
  const subnets = [{ subnet: '10.44.0.0/24' }, { subnet: 'fd44::/64' }]
  await horcrux.call(networks, 'create', { id: 'web', node: 'lab', name: 'web', type: 'bridge', subnets })
  await join('server', { app: 'server' })
  await join('friend', { app: 'friend' })
  await join('stranger', { app: 'stranger' })
})

afterAll(async () => {
  for (const { talker } of Object.values(guests)) await talker.end()
  await horcrux?.stop()
})

let connections = 0
const reaches = (from: string, address = guests['server']!.address) =>
  guests[from]!.talker.open(`${connections++}`, 'tcp', address, 80)
const fromFriend = { from: [{ pod_selector: { match_labels: { app: 'friend' } } }], ports: [{ port: 80 }] }
const policy = { id: 'only-friend', pod_selector: { match_labels: { app: 'server' } }, ingress: [fromFriend] }

test.runIf(isThere)(
  'a policy is in effect when its creation answers, is explained, and is gone when it is deleted',
  async () => {
    expect(await reaches('stranger')).toBe(true)
    const made = await horcrux.call(networkPolicies, 'create', policy)
    expect(made).toMatchObject({ enforced: true, gaps: [], selects: ['/api/containers/server'] })
    // The machine itself is the node `local`, on which nothing is isolated: its firewall is left alone.
    expect(await localHost().run('nft', ['list', 'table', 'inet', 'horcrux'])).toMatchObject({ code: 1 })
    expect(await reaches('stranger')).toBe(false)
    expect(await reaches('friend')).toBe(true)

    const asked = { from: 'stranger', to: 'server', port: 80 }
    const explained = await horcrux.call(networkPolicies, 'explain', asked)
    expect(explained.allowed).toBe(false)
    expect(explained.flows).toHaveLength(2)
    expect(explained.flows[0]!.ingress).toMatchObject({ reason: 'no rule', isolated_by: ['only-friend'] })
    const allowed = await horcrux.call(networkPolicies, 'explain', { ...asked, from: 'friend' })
    expect(allowed.flows.map(({ ingress }) => ingress.allowed_by)).toEqual([
      { policy: 'only-friend', rule: 0 },
      { policy: 'only-friend', rule: 0 },
    ])

    const dropped = await horcrux.call(networkPolicies, 'drops', {})
    expect(dropped.flows).toMatchObject([
      { node: 'lab', from: guests['stranger']!.address, port: 80, policies: ['only-friend'] },
    ])
    expect(dropped.policies).toMatchObject([{ node: 'lab', policy: 'only-friend' }])

    await horcrux.call(networkPolicies, 'delete', { id: 'only-friend' })
    expect(await reaches('stranger')).toBe(true)
    const rules = await (await node.inside(null)).runChecked('nft', ['list', 'ruleset'])
    expect(rules.stdout).not.toMatch(/table (inet|bridge) horcrux /)
  },
)

test.runIf(isThere)('a preview tells the connections that a change ends, and ends none', async () => {
  const { talker, address } = guests['stranger']!
  expect(await talker.open('held', 'tcp', guests['server']!.address, 80)).toBe(true)
  // The node tracks connections since it had rules.
  await horcrux.call(networkPolicies, 'create', { ...policy, id: 'first', ingress: [{}] })
  expect(await talker.open('kept', 'tcp', guests['server']!.address, 80)).toBe(true)
  const preview = await horcrux.call(networkPolicies, 'preview', { policies: [policy], delete: ['first'] })
  expect(preview.cut).toContainEqual({
    node: 'lab',
    from: address,
    to: guests['server']!.address,
    protocol: 'tcp',
    port: 80,
  })
  // The kernel of the node was asked, and takes the rules.
  expect(preview.gaps.filter(({ resource }) => resource === null)).toEqual([])
  expect(await talker.say('kept')).toBe(true)
  await horcrux.call(networkPolicies, 'apply', { policies: [policy], delete: ['first'] })
  expect(await talker.say('kept')).toBe(false)
  const opened = await horcrux.call(networkPolicies, 'preview', { delete: ['only-friend'] })
  expect(await reaches('stranger')).toBe(false)
  expect(opened.cut).toEqual([])
  const later = await horcrux.call(networkPolicies, 'preview', { delete: ['only-friend'] })
  expect(later.opened).toContainEqual({
    node: 'lab',
    from: address,
    to: guests['server']!.address,
    protocol: 'tcp',
    port: 80,
  })
  await horcrux.call(networkPolicies, 'delete', { id: 'only-friend' })
})

test.runIf(isThere)(
  'a change that is not confirmed in time undoes itself, and one that is confirmed stays',
  async () => {
    const change = { policies: [policy], confirm_within: 5 }
    const first = await horcrux.call(networkPolicies, 'apply', change)
    expect(first.state).toBe('pending')
    expect(await reaches('stranger')).toBe(false)
    const again = horcrux.call(networkPolicies, 'replace', { ...policy, ingress: [] })
    await expect(again).rejects.toThrow(ConflictError)
    await until(() => reaches('stranger'), { what: 'the undo', timeoutMs: 20_000 })
    await expect(horcrux.call(networkPolicies, 'confirm', { id: first.id })).rejects.toThrow('not confirmed in time')

    const second = await horcrux.call(networkPolicies, 'apply', change)
    expect((await horcrux.call(networkPolicies, 'confirm', { id: second.id })).state).toBe('confirmed')
    expect((await horcrux.call(networkPolicies, 'list', {})).data.map(({ id }) => id)).toEqual(['only-friend'])
    await horcrux.call(networkPolicies, 'replace', { ...policy, description: 'Changed' })
    await horcrux.call(networkPolicies, 'delete', { id: 'only-friend' })
  },
)

test.runIf(isThere)('rules that others flush are put right by themselves', async () => {
  await horcrux.call(networkPolicies, 'create', policy)
  await (await node.inside(null)).runChecked('nft', ['flush', 'ruleset'])
  expect(await reaches('stranger')).toBe(true)
  await until(async () => !(await reaches('stranger')), { what: 'the rules', timeoutMs: 20_000 })
  await horcrux.call(networkPolicies, 'delete', { id: 'only-friend' })
})

test.runIf(isThere)('a container keeps its addresses and its isolation over a restart', async () => {
  await horcrux.call(networkPolicies, 'create', policy)
  const before = (await horcrux.call(networks, 'get', { id: 'web' })).attachments.find(
    ({ container }) => container === 'server',
  )!
  await guests['server']!.talker.end()
  await node.act('stop', 'server')
  const container = await node.act('start', 'server')
  const attached = await until(
    async () => {
      const now = (await horcrux.call(networks, 'get', { id: 'web' })).attachments.find(
        (one) => one.container === 'server',
      )!
      return now.state === 'attached' && now.bridge_port !== before.bridge_port ? now : null
    },
    { what: 'the attachment' },
  )
  expect(attached.addresses).toEqual(before.addresses)
  guests['server']!.talker = await startTalker(await node.inside(container))
  await guests['server']!.talker.serve(80)
  expect(await reaches('stranger')).toBe(false)
  await until(() => reaches('friend'), { what: 'the friend' })
  await horcrux.call(networkPolicies, 'delete', { id: 'only-friend' })
})

test.runIf(isThere)('a policy that cannot hold says so: macvlan, and a node that does not filter bridges', async () => {
  const given = { type: 'macvlan', parent: 'hxnone', subnets: [{ subnet: '10.45.0.0/24' }] }
  await expect(horcrux.call(networks, 'create', { id: 'lan', node: 'lab', name: 'lan', ...given })).rejects.toThrow(
    'is no interface',
  )
  const inside = await node.inside(null)
  await inside.runChecked('ip', ['link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1'])
  await horcrux.call(networks, 'create', { id: 'lan', node: 'lab', name: 'lan', ...given, parent: 'lan0' })
  await node.run('outside', { app: 'outside' })
  await done(horcrux, networks, 'attach', { id: 'lan', container: 'outside' })
  const open = { id: 'lan-policy', pod_selector: { match_labels: { app: 'outside' } }, ingress: [] }
  const made = await horcrux.call(networkPolicies, 'create', open)
  expect(made.enforced).toBe(false)
  expect(made.gaps).toMatchObject([{ node: 'lab', resource: '/api/containers/outside' }])
  expect(made.gaps[0]!.reason).toContain('macvlan')
  await horcrux.call(networkPolicies, 'delete', { id: 'lan-policy' })

  const filter = (value: string) => inside.runChecked('sysctl', ['-qw', `net.bridge.bridge-nf-call-iptables=${value}`])
  await filter('0')
  const unfiltered = await horcrux.call(networkPolicies, 'create', policy)
  await filter('1')
  expect(unfiltered.enforced).toBe(false)
  expect(unfiltered.gaps[0]!.reason).toContain('bridge-nf-call-iptables')
  expect((await horcrux.call(networkPolicies, 'get', { id: 'only-friend' })).enforced).toBe(true)
  await horcrux.call(networkPolicies, 'delete', { id: 'only-friend' })
})

test.runIf(isThere)('a network goes when its last attachment has gone, without residue', async () => {
  await expect(horcrux.call(networks, 'delete', { id: 'lan' })).rejects.toThrow(ConflictError)
  await done(horcrux, networks, 'detach', { id: 'lan', container: 'outside' })
  await horcrux.call(networks, 'delete', { id: 'lan' })
  for (const name of ['server', 'friend', 'stranger'])
    await done(horcrux, networks, 'detach', { id: 'web', container: name })
  await horcrux.call(networks, 'delete', { id: 'web' })
  const inside = await node.inside(null)
  expect((await inside.runChecked('ip', ['-br', 'link'])).stdout).not.toMatch(/^hx[0-9a-f]{12}\b/m)
  expect((await inside.runChecked('nft', ['list', 'ruleset'])).stdout).not.toContain('horcrux')
})
