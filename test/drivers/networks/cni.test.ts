import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { addressesOf, attach, detach, portOf, reattach } from '../../../services/container/networks/attachment.ts'
import { freeDeadLeases, readLeases } from '../../../services/container/networks/leases.ts'
import { bridgeOf, configOf } from '../../../services/container/networks/plan.ts'
import { endTranslation, translate } from '../../../services/container/networks/translation.ts'
import { type Attaching, check, type PortMapping, versionFor } from '../../../services/container/networks/plugins.ts'
import { canRun, type Lab, startLab, startTalker } from '../../lab/policies/namespaces.ts'
import { available } from '../../lab/requirements.ts'

const plugins = ['bridge', 'macvlan', 'host-local', 'portmap'].filter((name) => !existsSync(`/usr/lib/cni/${name}`))
const isThere = (await canRun()) && available('cni', plugins)

let lab: Lab
let dataDir: string
let version: string

beforeAll(async () => {
  if (!isThere) return
  lab = await startLab()
  dataDir = await mkdtemp(join(tmpdir(), 'horcrux-cni-'))
  version = await versionFor(lab.node, ['bridge', 'portmap', 'host-local', 'macvlan'])
})

afterAll(async () => {
  await lab?.down()
  if (dataDir) await rm(dataDir, { recursive: true })
})

const subnets = [{ subnet: '10.77.0.0/29' }, { subnet: 'fd77::/64' }]
const spec = { id: 'web', name: 'web', type: 'bridge' as const, subnets, internal: false }

function about(container: string, netns: string, portMappings: PortMapping[] = [], given: object = spec): Attaching {
  const config = configOf({ ...spec, ...given }, dataDir)
  return { cniVersion: version, config, container, ifname: 'eth0', netns, capabilities: { portMappings } }
}
const leases = async (network = 'web') =>
  (await readLeases(lab.node, dataDir, network)).map(({ container, address }) => `${container} ${address}`).toSorted()

test.runIf(isThere)(
  'a container gets addresses of both families, reaches its gateway, and gives them back',
  async () => {
    const one = about('one', await lab.empty('one'))
    const result = await attach(lab.node, one)
    expect(addressesOf(result)).toEqual(['10.77.0.2', 'fd77::2'])
    expect(portOf(result)).toMatch(/^veth/)
    await check(lab.node, one, result)
    for (const gateway of ['10.77.0.1', 'fd77::1'])
      expect((await lab.inside('one').run('busybox', ['ping', '-c3', '-W1', gateway])).code, gateway).toBe(0)
    expect(await leases()).toEqual(['one 10.77.0.2', 'one fd77::2'])
    await lab.inside('one').runChecked('ip', ['address', 'delete', '10.77.0.2/29', 'dev', 'eth0'])
    await expect(check(lab.node, one, result)).rejects.toThrow('CHECK')
    await detach(lab.node, one, result)
    await detach(lab.node, one, result)
    expect(await leases()).toEqual([])
    await lab.drop('one')
  },
)

test.runIf(isThere)(
  'a container that starts again has its address again, whatever became of its namespace',
  async () => {
    const before = about('again', await lab.empty('again'))
    const other = about('other', await lab.empty('other'))
    const result = await attach(lab.node, before)
    const taken = await attach(lab.node, other)
    await lab.drop('again')
    const now = about('again', await lab.empty('again'))
    const after = await reattach(lab.node, { before, result }, now)
    expect(addressesOf(after)).toEqual(addressesOf(result))
    // A second ADD without a DEL is the mistake that leaks addresses.
    await expect(attach(lab.node, now)).rejects.toThrow(/ADD/)
    await detach(lab.node, now, after)
    await detach(lab.node, other, taken)
    for (const name of ['again', 'other']) await lab.drop(name)
    expect(await leases()).toEqual([])
  },
)

test.runIf(isThere)('leases of the dead are collected, so that a small network never runs out', async () => {
  // Three addresses of the /29 are the gateway and the ends; five are free.
  for (let index = 0; index < 5; index++) {
    await attach(lab.node, about(`dead${index}`, await lab.empty(`dead${index}`)))
    await lab.drop(`dead${index}`)
  }
  const alive = await lab.empty('alive')
  await expect(attach(lab.node, about('alive', alive))).rejects.toThrow('no IP addresses available')
  // The ADD that failed left nothing.
  expect((await leases()).filter((one) => one.startsWith('alive'))).toEqual([])
  const held = [{ container: 'dead4', ifname: 'eth0' }]
  const freed = await freeDeadLeases(lab.node, { dataDir, network: 'web' }, held)
  expect(new Set(freed.map(({ container }) => container))).toEqual(new Set(['dead0', 'dead1', 'dead2', 'dead3']))
  const result = await attach(lab.node, about('alive', alive))
  expect(
    await freeDeadLeases(lab.node, { dataDir, network: 'web' }, [{ container: 'alive', ifname: 'eth0' }]),
  ).toHaveLength(2)
  await detach(lab.node, about('alive', alive), result)
  await lab.drop('alive')
})

test.runIf(isThere)('a chain that fails at its end is taken back', async () => {
  const netns = await lab.empty('half')
  const mapped = { hostPort: 70_000, containerPort: 80, protocol: 'tcp' }
  await expect(attach(lab.node, about('half', netns, [mapped]))).rejects.toThrow('portmap')
  expect(await leases()).toEqual([])
  const links = await lab.inside('half').runChecked('ip', ['-o', 'link'])
  expect(links.stdout).not.toContain('eth0')
  await lab.drop('half')
})

test.runIf(isThere)('published UDP ports lead to the container of now, not to the one of before', async () => {
  const mapped = [{ hostPort: 5300, containerPort: 53, protocol: 'udp' }]
  const client = await startTalker(lab.inside('outside'))
  const run = async (name: string) => {
    const one = about(name, await lab.empty(name), mapped)
    const result = await attach(lab.node, one)
    const server = await startTalker(lab.inside(name))
    await server.serve(53)
    return { one, result, server }
  }
  const first = await run('first')
  expect(await client.open('query', 'udp', '203.0.113.1', 5300)).toBe(true)
  await first.server.end()
  await detach(lab.node, first.one, first.result)
  await lab.drop('first')
  expect(await client.say('query')).toBe(false)
  const second = await run('second')
  // The same socket: its datagrams belong to the flow of before.
  expect(await client.say('query')).toBe(true)
  await second.server.end()
  await detach(lab.node, second.one, second.result)
  await lab.drop('second')
  await client.end()
})

test.runIf(isThere)('macvlan attaches to the network of an interface of the node', async () => {
  const given = {
    id: 'lan',
    type: 'macvlan',
    parent: 'up0',
    subnets: [{ subnet: '203.0.113.0/24', gateway: '203.0.113.9', range_start: '203.0.113.100' }],
  }
  const one = about('lan', await lab.empty('lan'), [], given)
  const result = await attach(lab.node, one)
  expect(addressesOf(result)).toEqual(['203.0.113.100'])
  expect((await lab.inside('lan').run('busybox', ['ping', '-c3', '-W1', '203.0.113.9'])).code).toBe(0)
  await detach(lab.node, one, result)
  expect(await leases('lan')).toEqual([])
  await lab.drop('lan')
})

test.runIf(isThere)('a bridge that others deleted is made again by the next attachment', async () => {
  await lab.node.run('ip', ['link', 'delete', bridgeOf('web')])
  const one = about('one', await lab.empty('one'))
  const result = await attach(lab.node, one)
  expect((await lab.inside('one').run('busybox', ['ping', '-c3', '-W1', '10.77.0.1'])).code).toBe(0)
  await detach(lab.node, one, result)
  await lab.drop('one')
})

test.runIf(isThere)(
  'packets leave a network with an address of the node, until it is removed without residue',
  async () => {
    const before = await lab.node.runChecked('nft', ['list', 'ruleset'])
    const one = about('one', await lab.empty('one'))
    const result = await attach(lab.node, one)
    const outside = await startTalker(lab.inside('outside'))
    await outside.serve(80)
    const inside = await startTalker(lab.inside('one'))
    await translate(lab.node, spec)
    await translate(lab.node, spec)
    for (const address of ['203.0.113.9', '2001:db8::9'])
      expect(await inside.open(address, 'tcp', address, 80)).toBe(true)
    const { stdout } = await lab.node.runChecked('conntrack', ['-L', '-p', 'tcp', '--dport', '80'])
    expect(stdout).toContain('dst=203.0.113.1')
    await endTranslation(lab.node, 'web')
    await endTranslation(lab.node, 'web')
    expect((await lab.node.runChecked('nft', ['list', 'ruleset'])).stdout).toBe(before.stdout)
    await inside.end()
    await outside.end()
    await detach(lab.node, one, result)
    await lab.drop('one')
  },
)
