import { expect, test } from 'vitest'
import { bridgeOf, configOf, violationsOfNetwork } from '../../../services/container/networks/plan.ts'
import { deadLeases } from '../../../services/container/networks/leases.ts'

const bridge = { name: 'web', type: 'bridge' as const, internal: false }
const wrong = (spec: object, others: { id: string; subnets: { subnet: string }[] }[] = []) =>
  violationsOfNetwork({ ...bridge, subnets: [], ...spec }, others).map(({ field }) => field)

test('a network is refused with all its violations at once', () => {
  expect(wrong({ subnets: [{ subnet: '10.1.0.0/24' }, { subnet: 'fd01::/64' }] })).toEqual([])
  expect(
    wrong({
      type: 'macvlan',
      subnets: [
        { subnet: '10.1.0.0/24', gateway: '10.2.0.1', range_start: '10.1.0.9', range_end: '10.1.0.5' },
        { subnet: '10.1.0.0/16', gateway: 'x' },
      ],
    }),
  ).toEqual(['subnets.0.gateway', 'subnets.0.range_end', 'subnets.1.gateway', 'subnets.1.subnet', 'parent'])
  expect(wrong({ parent: 'eth0', subnets: [{ subnet: '10.1.0.0/31' }] })).toEqual(['subnets.0.subnet', 'parent'])
  expect(wrong({ subnets: [{ subnet: '10.1.0.0/24', gateway: '10.1.0.255' }] })).toEqual(['subnets.0.gateway'])
})

test('subnets of a node do not overlap', () => {
  const others = [{ id: 'old', subnets: [{ subnet: '10.1.0.0/16' }, { subnet: 'fd01::/64' }] }]
  expect(wrong({ subnets: [{ subnet: '10.1.9.0/24' }] }, others)).toEqual(['subnets.0.subnet'])
  expect(wrong({ subnets: [{ subnet: '10.0.0.0/8' }] }, others)).toEqual(['subnets.0.subnet'])
  expect(wrong({ subnets: [{ subnet: '10.2.0.0/16' }, { subnet: 'fd02::/64' }] }, others)).toEqual([])
})

test('the bridge of a network has a name that Linux takes, of its own', () => {
  const long = 'a'.repeat(63)
  expect(bridgeOf(long)).toMatch(/^[a-z0-9]{1,15}$/)
  expect(bridgeOf(long)).not.toBe(bridgeOf(`${long.slice(1)}b`))
})

test('an internal network has no route out', () => {
  const spec = { id: 'web', ...bridge, subnets: [{ subnet: '10.1.0.0/24' }] }
  expect(configOf(spec, '/data').plugins[0]).toMatchObject({ ipam: { routes: [{ dst: '0.0.0.0/0' }] } })
  expect(configOf({ ...spec, internal: true }, '/data').plugins[0]).toMatchObject({ ipam: { routes: [] } })
})

test('a lease is dead when its container, with its interface, has no attachment', () => {
  const lease = (container: string, ifname: string) => ({ address: '10.1.0.2', container, ifname, path: '/x' })
  const leases = [lease('a', 'eth0'), lease('a', 'eth1'), lease('b', 'eth0')]
  expect(deadLeases(leases, [{ container: 'a', ifname: 'eth0' }])).toEqual(leases.slice(1))
})
