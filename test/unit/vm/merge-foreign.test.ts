import { expect, test } from 'vitest'
import type { Definition } from '../../../services/vm/drivers/guest.ts'
import type { DiskRecord } from '../../../services/vm/model.ts'
import { domainXml } from '../../../services/vm/drivers/qemu/xml/domain-xml.ts'
import { mergeDomain } from '../../../services/vm/drivers/qemu/xml/merge.ts'
import { readDomain } from '../../../services/vm/drivers/qemu/xml/parse-domain-xml.ts'
import { parseXml } from '../../../services/vm/drivers/qemu/xml/xml.ts'
import { plainGuest } from '../../lab/guests/plain-guest.ts'

const files = { log: '/log', socket: '/socket', variables: '/variables' }
const xmlOf = (guest: Definition) => domainXml(guest, files)
/** A definition by hand, after a change of its record. */
const changed = (there: string, change: Partial<Definition>) => {
  const guest = { ...plainGuest, ...readDomain(parseXml(there)), handle: plainGuest.handle } as unknown as Definition
  return mergeDomain(mergeDomain(there, xmlOf(guest)), xmlOf({ ...guest, ...change }))
}
const domain = ({
  devices = '',
  more = '',
  vcpu = '<vcpu>2</vcpu>',
}: {
  devices?: string
  more?: string
  vcpu?: string
}) =>
  `<domain type="kvm"><name>a</name><memory unit="KiB">1048576</memory>${vcpu}<os><type arch="x86_64" machine="q35">hvm</type></os>${more}<devices>${devices}</devices></domain>`

test('a display that stays keeps its password, keymap and address when another is added or removed', () => {
  const vnc =
    '<graphics type="vnc" port="5907" autoport="no" keymap="de" passwd="secret"><listen type="address" address="10.0.0.1"/></graphics>'
  const video = '<video><model type="qxl" ram="65536"/></video>'
  const more = changed(domain({ devices: vnc + video }), { graphics: ['vnc', 'spice'] })
  expect(more).toContain(vnc)
  expect(more).toMatch(/<graphics type="spice">/)
  const channel = '<channel type="spicevmc"><target type="virtio" name="com.redhat.spice.0"/></channel>'
  const spice = '<graphics type="spice" autoport="yes" passwd="other"/>'
  const less = changed(domain({ devices: vnc + spice + channel + video }), { graphics: ['vnc'] })
  expect(less).toContain(vnc)
  expect(less).not.toContain('spice')
  const only = changed(domain({ devices: vnc + spice + channel + video }), { graphics: ['spice'] })
  expect(only).toContain(spice)
  expect(only).toContain(channel)
  expect(only).not.toContain('vnc')
})

test('a change of the video device keeps the further ones', () => {
  const devices = '<video><model type="qxl"/></video><video><model type="virtio" heads="2"/></video>'
  const merged = changed(domain({ devices }), { video: 'vga' })
  expect(merged).toContain('<video><model type="virtio" heads="2"/></video>')
  expect(readDomain(parseXml(merged)).video).toBe('vga')
  expect(changed(domain({ devices }), { video: 'none' })).not.toContain('heads')
})

const nic = (mac: string, order?: number, type = 'user') =>
  `<interface type="${type}"><mac address="${mac}"/>${type === 'bridge' ? '<source bridge="br0"/>' : ''}${order === undefined ? '' : `<boot order="${order}"/>`}</interface>`
const disk = (dev: string, order?: number) =>
  `<disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="/${dev}.raw"/><target dev="${dev}" bus="virtio"/>${order === undefined ? '' : `<boot order="${order}"/>`}</disk>`
const usb = '<hostdev mode="subsystem" type="usb"><source><vendor id="0x1"/></source><boot order="2"/></hostdev>'
/** Names of devices in the order that a definition boots them in. */
const booted = (xml: string) =>
  [...xml.matchAll(/<(?:disk|interface|hostdev) .*?<\/(?:disk|interface|hostdev)>/gs)]
    .map(([text]) => ({
      name: /dev="(vd\w+)"/.exec(text)?.[1] ?? /address="([\da-f:]{17})"/.exec(text)?.[1] ?? 'usb',
      order: Number(/<boot order="(\d+)"/.exec(text)?.[1]),
    }))
    .filter(({ order }) => order > 0)
    .toSorted((a, b) => a.order - b.order)
    .map(({ name, order }) => `${order} ${name}`)

test('a new boot order keeps the places of devices that are in no record', () => {
  const [foreign, known] = ['52:54:00:00:00:01', '52:54:00:00:00:02']
  const devices = nic(foreign, 1) + usb + disk('vda', 3) + disk('vdb', 4) + nic(known, undefined, 'bridge')
  const there = domain({ devices })
  expect(readDomain(parseXml(there)).boot_order).toEqual(['vda', 'vdb'])
  expect(booted(changed(there, { boot_order: ['vdb', known, 'vda'] }))).toEqual([
    `1 ${foreign}`,
    '2 usb',
    '3 vdb',
    `4 ${known}`,
    '5 vda',
  ])
  // libvirt takes no order in <os> beside that of a device.
  const usual = changed(there, { boot_order: null })
  expect(booted(usual)).toEqual([`1 ${foreign}`, '2 usb', '3 vda', '4 vdb'])
  expect(usual).not.toContain('<boot dev=')
  const added = { ...(readDomain(parseXml(there)).disks[0] as unknown as DiskRecord), id: 'vdaa' }
  const disks = readDomain(parseXml(there)).disks as unknown as DiskRecord[]
  const more = changed(there, { disks: [...disks, added], boot_order: ['vdaa', 'vda', 'vdb'] })
  expect(booted(more)).toEqual([`1 ${foreign}`, '2 usb', '3 vdaa', '4 vda', '5 vdb'])
})

const cells = (...all: string[]) => `<cpu><numa>${all.join('')}</numa></cpu>`

test('memory and processors of a guest with one NUMA cell are those of its cell', () => {
  const one = domain({ more: cells('<cell id="0" cpus="0-1" memory="1" unit="GiB"/>') })
  expect(changed(one, { memory: 2048 })).toContain('<cell id="0" cpus="0-1" memory="2097152" unit="KiB"/>')
  expect(changed(one, { cpus: 4 })).toContain('cpus="0-3"')
  expect(changed(one, { cpus: 1, max_cpus: 2 })).toContain('cpus="0-1"')
  const module = '<memory model="dimm"><target><size unit="MiB">256</size><node>0</node></target></memory>'
  const grown = domain({ more: cells('<cell id="0" cpus="0-1" memory="786432"/>'), devices: module })
  expect(changed(grown, { memory: 2048 })).toContain('memory="1835008" unit="KiB"')
  expect(() => changed(grown, { memory: 256 })).toThrow('memory modules alone have 256 MiB')
})

test('a change of memory or processors that NUMA cells divide is refused, and any other is not', () => {
  const two = domain({
    more: cells('<cell id="0" cpus="0" memory="512" unit="MiB"/>', '<cell id="1" cpus="1" memory="512" unit="MiB"/>'),
  })
  expect(() => changed(two, { memory: 2048 })).toThrow('divides the memory among 2 NUMA cells')
  expect(() => changed(two, { cpus: 4 })).toThrow('divides the processors among 2 NUMA cells')
  expect(changed(two, { cpus: 1, max_cpus: 2, balloon: 512 })).toContain(
    '<cell id="1" cpus="1" memory="512" unit="MiB"/>',
  )
})
