import fc from 'fast-check'
import { expect, test } from 'vitest'
import { percentIn } from '../../../services/storage/images/qemu-img.ts'
import { checkPool } from '../../../services/vm/clone/disks.ts'
import { documentsOf } from '../../../services/vm/cloudinit/documents.ts'
import { checkNetwork, settingsOf } from '../../../services/vm/cloudinit/network.ts'
import { backupOf } from '../../../services/vm/drivers/qemu/guest/backup-job.ts'
import { at, attribute, elements, parseXml } from '../../../services/vm/drivers/qemu/xml/xml.ts'

const wrong = (config: object, nics = 1) =>
  checkNetwork(config, nics).map(({ field }) => field.replace('network_config.', ''))

test('a network configuration fits the NICs, and is made of addresses', () => {
  expect(wrong({})).toEqual([])
  expect(wrong({ ip_addresses: ['10.0.0.5/24', 'dhcp'] }, 2)).toEqual([])
  expect(wrong({ ip_addresses: ['fd00::5/64'], gateway: 'fd00::1', dns_servers: ['2606:4700::1111'] })).toEqual([])
  expect(wrong({ ip_addresses: [] }, 1)).toEqual(['ip_addresses'])
  expect(wrong({ ip_addresses: ['dhcp', 'dhcp'] }, 1)).toEqual(['ip_addresses'])
  for (const address of [
    '10.0.0.5',
    '10.0.0.256/24',
    '10.1/8',
    '0x0a000005/8',
    '10.0.0.5/33',
    'fd00::g/64',
    '',
    'x/24',
  ])
    expect(wrong({ ip_addresses: [address] }), address).toEqual(['ip_addresses.0'])
  expect(wrong({ ip_addresses: ['10.0.0.5/24', '10.0.0.5/16'] }, 2)).toEqual(['ip_addresses.1'])
})

test('a gateway is an address of a family that the first NIC has an address of', () => {
  const gateway = (address: string, ip_addresses?: string[]) =>
    wrong({ gateway: address, ...(ip_addresses && { ip_addresses }) })
  expect(gateway('10.0.0.1', ['10.0.0.5/24'])).toEqual([])
  expect(gateway('10.0.1.1', ['10.0.0.5/24'])).toEqual([])
  for (const [address, ips] of [
    ['fd00::1', ['10.0.0.5/24']],
    ['10.0.1', ['10.0.0.5/24']],
    ['10.0.0.1', ['dhcp']],
    ['10.0.0.1', undefined],
  ] as const)
    expect(gateway(address, ips && [...ips]), address).toEqual(['gateway'])
  expect(wrong({ gateway: '10.0.0.1' }, 0)).toEqual(['gateway'])
  expect(wrong({ dns_servers: ['10.0.0.2', 'dns.example.org'] })).toEqual(['dns_servers.1'])
})

test('gateway and DNS servers are the first NIC’s only', () => {
  const ip_addresses = ['10.0.0.5/24', '10.0.1.5/24']
  const config = { hostname: 'web', ip_addresses, gateway: '10.0.0.1', dns_servers: ['10.0.0.2'] }
  const macs = ['52:54:00:00:00:01', '52:54:00:00:00:02']
  const about = { id: 'web', name: 'web', nics: macs.map((mac) => ({ mac })) }
  expect(documentsOf(about, settingsOf(config, macs), null).networkConfig).toEqual({
    version: 2,
    ethernets: {
      eth0: {
        match: { macaddress: '52:54:00:00:00:01' },
        'set-name': 'eth0',
        dhcp4: false,
        addresses: ['10.0.0.5/24'],
        routes: [{ to: '0.0.0.0/0', via: '10.0.0.1' }],
        nameservers: { addresses: ['10.0.0.2'] },
      },
      eth1: {
        match: { macaddress: '52:54:00:00:00:02' },
        'set-name': 'eth1',
        dhcp4: false,
        addresses: ['10.0.1.5/24'],
      },
    },
  })
})

const host = fc.ipV4().filter((text) => !/^(0|127|22[4-9]|23\d|24\d|25[0-5])\./.test(text))

test('every address of a host with every prefix is taken, but for those of the network itself', () => {
  fc.assert(
    fc.property(host, fc.integer({ min: 1, max: 32 }), (address, bits) => {
      const value = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
      const size = 2 ** (32 - bits)
      const isOfNetwork = bits < 31 && [0, size - 1].includes(value % size)
      expect(wrong({ ip_addresses: [`${address}/${bits}`] })).toEqual(isOfNetwork ? ['ip_addresses.0'] : [])
    }),
  )
})

test('an address without a network takes every gateway but itself', () => {
  fc.assert(
    fc.property(host, host, (address, gateway) => {
      const found = wrong({ ip_addresses: [`${address}/32`], gateway })
      expect(found).toEqual(address === gateway ? ['gateway'] : [])
    }),
  )
})

test("the last percentage in qemu-img's output counts", () => {
  expect(percentIn('    (0.00/100%)\r    (12.34/100%)\r')).toBe(12.34)
  expect(percentIn('    (100/100%)\n')).toBe(100)
  expect(percentIn('    (1')).toBeUndefined()
})

test('a pool that cannot take the disks of a guest that runs says so; read-only disks are no matter', () => {
  const pool = {
    id: 'slow',
    name: 'slow',
    type: 'dir' as const,
    node: 'hv1',
    path: '/slow',
    nodes: ['hv1'],
    state: 'active' as const,
    capabilities: {
      formats: ['raw' as const],
      default_format: 'raw' as const,
      snapshots: false,
      linked_clones: false,
      linked_clone_format: null,
      linked_clones_pinned: false,
      live_clones: false,
      send: false,
      shared: false,
      live_resize: false,
      objects: false,
    },
    capacity_bytes: null,
    available_bytes: null,
    usage: null,
    fills: [],
    health: 'ok' as const,
    health_reason: null,
    created_at: '',
    updated_at: '',
    version: 1,
  }
  const disk = {
    id: 'vda',
    pool: 'slow',
    volume: 'a',
    source: { type: 'file' as const, path: '/slow/a.raw' },
    format: 'raw' as const,
    size_bytes: 1,
    bus: 'virtio' as const,
    cache: 'default' as const,
    readonly: false,
  }
  const wanted = { id: 'copy', mode: 'full' as const, pool: undefined }
  expect(checkPool(pool, 'hv1', disk, { ...wanted, isRunning: true })).toEqual([
    {
      field: 'pool',
      code: 'unsupported',
      message: "pool 'slow' cannot take the disks of a guest that runs: shut it down first",
    },
  ])
  expect(checkPool(pool, 'hv1', disk, { ...wanted, isRunning: false })).toEqual([])
  expect(checkPool(pool, 'hv1', { ...disk, readonly: true }, { ...wanted, isRunning: true })).toEqual([])
})

test('the XML of a copy names every disk with its target, also with odd names', () => {
  const path = '/pool/a"&<b>.qcow2'
  const targets = [
    { disk: 'vda', source: { type: 'file' as const, path }, format: 'raw' as const },
    { disk: 'vdb', source: { type: 'block' as const, path: '/dev/vg/b' }, format: 'qcow2' as const },
  ]
  const xml = parseXml(backupOf(targets))
  expect([xml.name, xml.attributes]).toEqual(['domainbackup', { mode: 'push' }])
  const [file, block] = elements(at(xml, 'disks'), 'disk')
  expect(file?.attributes).toEqual({ name: 'vda', backup: 'yes', type: 'file' })
  expect([attribute(at(file, 'driver'), 'type'), at(file, 'target')?.attributes]).toEqual(['raw', { file: path }])
  expect(block?.attributes).toEqual({ name: 'vdb', backup: 'yes', type: 'block' })
  expect([attribute(at(block, 'driver'), 'type'), at(block, 'target')?.attributes]).toEqual([
    'qcow2',
    { dev: '/dev/vg/b' },
  ])
  const network = { type: 'network' as const, protocol: 'nbd', name: 'x', servers: [] }
  expect(() => backupOf([{ disk: 'vda', source: network, format: 'raw' }])).toThrow(/copies no disks to nbd:x/)
})
