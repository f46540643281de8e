import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { check } from '#shared/contract/validate.ts'
import { type CloudInit, cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import { ValidationError } from '#shared/errors.ts'
import { checkEthernets } from '../../../services/vm/cloudinit/check.ts'
import { documentsOf } from '../../../services/vm/cloudinit/documents.ts'
import { checkNetwork, settingsOf } from '../../../services/vm/cloudinit/network.ts'
import { hashOf } from '../../../services/vm/cloudinit/password.ts'
import { yamlOf } from '../../../services/vm/cloudinit/yaml.ts'

type Ethernets = NonNullable<CloudInit['network']>['ethernets']

const nics = ['52:54:00:12:34:56', '52:54:00:00:00:02', '52:54:00:00:00:03'].map((mac) => ({ mac }))
/** The fields and codes of what is wrong with a guest's interfaces. */
const wrong = (ethernets: Ethernets) =>
  checkEthernets({ ethernets }, nics).map(({ field, code }) => `${field.replace('network.ethernets.', '')} ${code}`)
const wrongAddresses = (...addresses: string[]) => wrong({ lan: { addresses } })
const networkOf = (ethernets: Ethernets) =>
  (
    documentsOf({ id: 'web', name: 'web', nics }, { network: { ethernets } }, null).networkConfig as {
      ethernets: object
    }
  ).ethernets

const violations = (params: object) => {
  try {
    check(cloudinit.actions.set.params, { id: 'web', ...params })
    return []
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error
    return error.violations.map(({ field }) => field)
  }
}

test('YAML is printable ASCII, with every string quoted', () => {
  const value = {
    version: 2,
    'set-name': 'no',
    list: ['52:54:00:12:34:56', true, 3, '3'],
    no: '\u0085\u2028\t\u{1f600}',
  }
  expect(yamlOf(value).split('\n')).toEqual([
    'version: 2',
    'set-name: "no"',
    'list:',
    '  - "52:54:00:12:34:56"',
    '  - true',
    '  - 3',
    '  - "3"',
    '"no": "\\u0085\\u2028\\t\\U0001f600"',
    '',
  ])
})

test('any text comes back from YAML 1.1 and 1.2 as it was', () => {
  const text = fc.string({ unit: 'binary' })
  fc.assert(
    fc.property(fc.dictionary(text, fc.oneof(text, fc.array(text), fc.boolean(), fc.maxSafeInteger())), (value) => {
      const document = yamlOf(value)
      expect(document).toMatch(/^[\n\x20-\x7e]*$/)
      for (const version of ['1.1', '1.2'] as const) expect(parse(document, { version })).toEqual({ ...value })
    }),
    { numRuns: 30 },
  )
})

test('text that no document can hold is refused', () => {
  const bad = ['a\0b', 'half \ud800', '\udc00']
  for (const text of bad) {
    expect(violations({ runcmd: [text] })).toEqual(['runcmd.0'])
    expect(violations({ runcmd: [['echo', text]] })).toEqual(['runcmd.0'])
    expect(violations({ user: { name: 'ada', plain_password: text } })).toEqual(['user.plain_password'])
    expect(violations({ user: { name: 'ada', sudo: text } })).toEqual(['user.sudo'])
    expect(violations({ user: { name: 'ada', shell: `/${text}` } })).toEqual(['user.shell'])
    expect(violations({ ssh_keys: [`ssh-ed25519 AAAA ${text}`] })).toEqual(['ssh_keys.0'])
  }
  expect(violations({ runcmd: ['a\tb\r\nc', '\ufeff', '\u0085', ['\u{1f600}', '']] })).toEqual([])
})

test('interfaces have names of their own that Linux and netplan know as such', () => {
  expect(wrong({ lan: { set_name: 'dmz' }, dmz: {} })).toEqual(['dmz taken'])
  expect(wrong({ lan: { set_name: 'lan0' }, dmz: { set_name: 'lan0' } })).toEqual(['dmz.set_name taken'])
  expect(wrong({ a234567890123456: {}, a23456789012345: {} })).toEqual(['a234567890123456 format'])
  expect(wrong({ ['a'.repeat(63)]: { set_name: 'lan0' }, constructor: {} })).toEqual([])
  for (const name of ['lo', 'all', 'default', 'renderer', 'a/b', 'a b', '.', '..', '', '0lan', 'a\nb', 'a:1', 'ä'])
    expect(wrong({ lan: { set_name: name } }), name).toEqual(['lan.set_name format'])
  for (const name of ['lo', 'renderer', 'a/b', 'a b', '.', '..', '', 'a\nb', '*'])
    expect(wrong({ [name]: {} }), name).toEqual([`${name} format`])
  expect(wrong({ 'a b': { set_name: 'lan0' }, renderer: { set_name: 'lan1' } })).toEqual([
    'a b format',
    'renderer format',
  ])
  expect(violations({ network: { ethernets: { 'a b': {}, 'a\nb': {} } } })).toEqual([])
})

test('an interface has the address of a host, and each address is given once', () => {
  expect(wrongAddresses('10.0.0.5/24', '203.0.113.9/32', 'fd00::5/64', '169.254.1.1/16', 'fe80::5/64')).toEqual([])
  for (const address of [
    '10.0.0.5',
    '10.0.0.5/',
    '10.0.0.5/33',
    '10.0.0.5/024',
    '10.0.0.05/24',
    'fd00::5/129',
    'fe80::1%eth0/64',
  ])
    expect(wrongAddresses(address), address).toEqual(['lan.addresses.0 format'])
  for (const address of [
    '0.0.0.0/24',
    '224.0.0.5/24',
    '255.255.255.255/32',
    '240.0.0.1/24',
    '127.0.0.1/8',
    '10.0.0.0/24',
    '10.0.0.255/24',
    '10.0.0.5/0',
    '::/64',
    '::1/128',
    'ff02::1/64',
    'fd00::/64',
    '::ffff:10.0.0.5/96',
    '::ffff:a00:5/128',
  ])
    expect(wrongAddresses(address), address).toEqual(['lan.addresses.0 unusable'])
  // RFC 3021 and RFC 6164: links of two.
  expect(wrongAddresses('10.0.0.0/31', '10.0.0.3/31', 'fd00::/127', 'fd00::ffff/64')).toEqual([])
  expect(wrongAddresses('10.0.0.5/24', '10.0.0.5/16')).toEqual(['lan.addresses.1 taken'])
  expect(wrongAddresses('fd00::5/64', 'FD00:0:0::0005/64', 'fd00::0.0.0.5/64')).toEqual([
    'lan.addresses.1 taken',
    'lan.addresses.2 taken',
  ])
  expect(wrong({ lan: { addresses: ['fd00::5/64'] }, dmz: { addresses: ['fd00:0::5/48'] } })).toEqual([
    'dmz.addresses.0 taken',
  ])
  expect(wrong({ lan: { addresses: ['fe80::5/64'] }, dmz: { addresses: ['fe80::5/64'] } })).toEqual([])
})

test('a gateway outside every prefix is on-link', () => {
  expect(wrong({ lan: { addresses: ['203.0.113.9/32'], gateway: '198.51.100.1' } })).toEqual([])
  expect(networkOf({ lan: { addresses: ['203.0.113.9/32'], gateway: '198.51.100.1' } })).toMatchObject({
    lan: { routes: [{ to: '0.0.0.0/0', via: '198.51.100.1', 'on-link': true }] },
  })
  expect(networkOf({ lan: { addresses: ['fd00::5/64'], gateway: 'fe80::1' } })).toMatchObject({
    lan: { routes: [{ to: '::/0', via: 'fe80::1', 'on-link': true }] },
  })
  const dual = { addresses: ['10.0.0.5/24', 'fd00::5/64'], gateway: '10.0.0.1', gateway6: 'fe80::1' }
  expect(wrong({ lan: dual })).toEqual([])
  expect(networkOf({ lan: dual })).toEqual({
    lan: {
      match: { macaddress: nics[0]!.mac },
      'set-name': 'lan',
      dhcp4: false,
      addresses: dual.addresses,
      routes: [
        { to: '0.0.0.0/0', via: '10.0.0.1' },
        { to: '::/0', via: 'fe80::1', 'on-link': true },
      ],
    },
  })
  expect(networkOf({ lan: { dhcp4: false, dhcp6: true, gateway6: 'fe80::1' } })).toMatchObject({
    lan: { dhcp4: false, dhcp6: true, routes: [{ to: '::/0', via: 'fe80::1', 'on-link': true }] },
  })
})

test.each([
  [{ addresses: ['10.0.0.5/24'], gateway: '10.0.0.5' }, 'gateway own_address'],
  [{ addresses: ['fd00::5/64'], gateway: 'fd00:0::5' }, 'gateway own_address'],
  [{ addresses: ['10.0.0.5/24'], gateway: '10.0.0.0' }, 'gateway unusable'],
  [{ addresses: ['10.0.0.5/24'], gateway: '10.0.0.255' }, 'gateway unusable'],
  [{ addresses: ['10.0.0.5/24'], gateway: '0.0.0.0' }, 'gateway unusable'],
  [{ addresses: ['10.0.0.5/24'], gateway: '224.0.0.1' }, 'gateway unusable'],
  [{ addresses: ['10.0.0.5/24'], gateway: '127.0.0.1' }, 'gateway unusable'],
  [{ addresses: ['fd00::5/64'], gateway: 'ff02::1' }, 'gateway unusable'],
  [{ addresses: ['fd00::5/64'], gateway: 'fe80::1%eth0' }, 'gateway format'],
  [{ addresses: ['10.0.0.5/24'], gateway: 'fd00::1' }, 'gateway no_address'],
  [{ addresses: ['fd00::5/64'], gateway: '10.0.0.1' }, 'gateway no_address'],
  [{ gateway: '10.0.0.1' }, 'gateway dhcp'],
  [{ dhcp4: false, gateway: '10.0.0.1' }, 'gateway no_address'],
  [{ addresses: ['10.0.0.5/24'], gateway6: '10.0.0.1' }, 'gateway6 family'],
  [{ addresses: ['fd00::5/64'], gateway: 'fd00::1', gateway6: 'fd00::2' }, 'gateway6 taken'],
  [{ addresses: ['10.0.0.5/24'], nameservers: { addresses: ['224.0.0.1'] } }, 'nameservers.addresses.0 unusable'],
])('%j: %s', (lan, expected) => {
  expect(wrong({ lan })).toEqual([`lan.${expected}`])
})

test('a gateway is no address of another NIC either, and only the first NIC has gateways', () => {
  expect(
    wrong({ lan: { addresses: ['10.0.0.5/24'], gateway: '10.0.0.6' }, dmz: { addresses: ['10.0.0.6/24'] } }),
  ).toEqual(['lan.gateway own_address'])
  expect(wrong({ lan: {}, dmz: { addresses: ['fd00::5/64'], gateway6: 'fe80::1' } })).toEqual([
    'dmz.gateway6 first_only',
  ])
})

test('everything that is wrong is said at once', () => {
  expect(
    wrong({
      lo: { addresses: ['10.0.0.0/24', 'x'], gateway: '10.0.0.0' },
      b: { set_name: 'a/b', addresses: ['10.0.0.5/24', '10.0.0.5/24'] },
      c: { match: { macaddress: '52:54:00:00:00:02' } },
      d: {},
    }),
  ).toEqual([
    'lo format',
    'b.set_name format',
    'c.match.macaddress taken',
    'd no_nic',
    'lo.addresses.0 unusable',
    'lo.addresses.1 format',
    'lo.gateway own_address',
    'b.addresses.1 taken',
  ])
})

test('the network of a clone follows the same rules', () => {
  const found = (config: object, count = 2) =>
    checkNetwork(config, count).map(({ field, code }) => `${field.replace('network_config.', '')} ${code}`)
  expect(found({ ip_addresses: ['203.0.113.9/32', 'dhcp6'], gateway: '198.51.100.1' })).toEqual([])
  const dual = {
    ip_addresses: [
      ['10.0.0.5/24', 'fd00::5/64'],
      ['dhcp', 'dhcp6'],
    ],
    gateway: '10.0.0.1',
    gateway6: 'fe80::1',
  }
  expect(found(dual)).toEqual([])
  expect(found({ ip_addresses: ['dhcp6', 'dhcp'], gateway6: 'fe80::1' })).toEqual([])
  expect(
    found({
      ip_addresses: [
        ['10.0.0.5/24', 'ff02::1/64'],
        ['10.0.0.5/24', 'dhcp', 'dhcp'],
      ],
      gateway: '10.0.0.5',
    }),
  ).toEqual(['ip_addresses.0.1 unusable', 'gateway own_address', 'ip_addresses.1.0 taken', 'ip_addresses.1.2 taken'])
  expect(found({ gateway: '10.0.0.1', gateway6: 'fe80::1' }, 0)).toEqual(['gateway no_nic', 'gateway6 no_nic'])
  expect(
    settingsOf(
      { hostname: 'web', ...dual },
      nics.slice(0, 2).map(({ mac }) => mac),
    ).network,
  ).toEqual({
    version: 2,
    ethernets: {
      eth0: {
        match: { macaddress: nics[0]!.mac },
        dhcp4: false,
        addresses: ['10.0.0.5/24', 'fd00::5/64'],
        gateway: '10.0.0.1',
        gateway6: 'fe80::1',
      },
      eth1: { match: { macaddress: nics[1]!.mac }, dhcp4: true, dhcp6: true },
    },
  })
})

// Made by crypt(3) of libxcrypt 4.4.33, the last of Drepper's own examples.
test.each([
  [
    'Hello world!',
    'saltstring',
    'svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1',
  ],
  [
    'a'.repeat(255),
    'saltsalt',
    'BKQW8N9CIw87L2UAvLS2OPr2ezGcQSIjcGZpgF22UrA2iauAzGWyKc61WrYO20bpG4osQhGGZgdJGkQirgWXW0',
  ],
  [
    'a'.repeat(257),
    'saltsalt',
    'I13nHYuEtgbEN5CIpAe43zP14QwV71tYW6qHu6MGsiHm9gRkisgMZNKhtwwA/gwgoRBZIhW2bxIfKvTQjlFOj.',
  ],
  [
    'a'.repeat(511),
    'saltsalt',
    'MH/QItLmvaCuzwuhcEYPH6Sjcl/0GNmOaRWoJ3UvxBRieXQMvz4Y0Pbg3gtE34i/ebzdeBIREellN7/bGsbzf.',
  ],
])('a password is hashed in whole, as crypt(3) does: %#', (password, salt, expected) => {
  expect(hashOf(password, salt)).toBe(`$6$${salt}$${expected}`)
})
