import { expect, test } from 'vitest'
import { type Chosen, clashes, nameAsVm, overLimits } from '../../../services/vm/adoption/together.ts'
import { otherPartsOf } from '../../../services/vm/drivers/qemu/xml/other-parts.ts'
import { parseXml } from '../../../services/vm/drivers/qemu/xml/xml.ts'
import { domainXml } from '../../../services/vm/drivers/qemu/xml/domain-xml.ts'
import { plainGuest } from '../../lab/guests/plain-guest.ts'

const guest = (
  name: string,
  more: { mac?: string; path?: string; readonly?: boolean; size?: number } = {},
): Chosen => ({
  name,
  found: {
    name,
    cpus: 2,
    memory: 1024,
    nics: more.mac === undefined ? [] : [{ mac: more.mac, network: 'default', bridge: null, model: 'virtio' }],
  },
  disks: [
    {
      id: 'vda',
      source: { type: 'file', path: more.path ?? `/${name}.raw` },
      readonly: more.readonly ?? false,
      size_bytes: more.size ?? 10,
    },
  ],
})
const messages = (all: Chosen[]) => clashes(all).map((each) => each.map(({ message }) => message))

test('a name of a domain becomes one of a VM', () => {
  expect(nameAsVm('web01.example.com')).toBe('web01-example-com')
  expect(nameAsVm('Büro Server')).toBe('B-ro-Server')
  expect(nameAsVm('as_it-is')).toBe('as_it-is')
})

test('of two guests with the same name, address or writable disk the later one is refused', () => {
  const mac = '52:54:00:00:00:01'
  expect(messages([guest('a', { mac }), guest('b', { mac })])).toEqual([[], [expect.stringContaining(mac)]])
  expect(messages([guest('a', { path: '/x' }), guest('b', { path: '/x' })])).toEqual([
    [],
    [expect.stringContaining('/x')],
  ])
  expect(messages([guest('a'), guest('a', { path: '/y' })])).toEqual([[], [expect.stringContaining("the name 'a'")]])
  expect(messages([guest('a', { path: '/x', readonly: true }), guest('b', { path: '/x', readonly: true })])).toEqual([
    [],
    [],
  ])
})

test('guests fill a resource pool one after the other; one that does not fit leaves room for a smaller one', () => {
  const limits = { cpus: null, memory: null, disk: 100, instances: null }
  const used = { cpus: 0, memory: 0, disk: 50, instances: 1 }
  const full = overLimits([guest('a', { size: 30 }), guest('b', { size: 30 }), guest('c', { size: 20 })], {
    id: 'p',
    limits,
    used,
  })
  expect(full.map((each) => each.map(({ message }) => message))).toEqual([
    [],
    ["'p' has no room for it: disk 80 + 30 of 100"],
    [],
  ])
})

test('a domain that Horcrux made has no parts of others', () => {
  const xml = domainXml(plainGuest, { log: '/log', socket: '/socket', variables: '/variables' })
  expect(otherPartsOf(parseXml(xml))).toEqual([])
})

test('devices and settings that no field describes are told', () => {
  const devices = [
    '<hostdev mode="subsystem" type="pci"/>',
    '<tpm model="tpm-crb"><backend type="emulator"/></tpm>',
    '<interface type="user"><mac address="52:54:00:00:00:09"/></interface>',
    '<interface type="bridge"/>',
    '<video><model type="qxl"/></video>',
    '<video><model type="vga"/></video>',
    '<graphics type="sdl"/>',
    '<controller type="usb"/>',
  ].join('')
  const domain = parseXml(`<domain><cputune/><devices>${devices}</devices></domain>`)
  expect(otherPartsOf(domain)).toEqual([
    'hostdev (pci)',
    'tpm (tpm-crb)',
    'interface (user) 52:54:00:00:00:09',
    'video (vga)',
    'graphics (sdl)',
    'CPU pinning and shares',
  ])
})
