import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import type { Nic } from '#shared/contracts/vm/hardware.ts'
import type { Definition } from '../../../services/vm/drivers/guest.ts'
import type { DiskRecord } from '../../../services/vm/model.ts'
import { domainXml } from '../../../services/vm/drivers/qemu/xml/domain-xml.ts'
import { mergeDomain, unmarked } from '../../../services/vm/drivers/qemu/xml/merge.ts'
import { markOf, readDomain } from '../../../services/vm/drivers/qemu/xml/parse-domain-xml.ts'
import { at, type Element, elements, parseXml, writeXml } from '../../../services/vm/drivers/qemu/xml/xml.ts'
import { diskSources } from '../../lab/guests/disk-sources.ts'
import { plainGuest } from '../../lab/guests/plain-guest.ts'

const diskAt = (id: string, source: DiskSource = { type: 'file', path: `/images/${id}.qcow2` }): DiskRecord => ({
  id,
  device_id: id,
  pool: null,
  volume: null,
  source,
  format: 'qcow2',
  size_bytes: 0,
  bus: id.startsWith('vd') ? 'virtio' : 'sata',
  cache: 'writeback',
  readonly: false,
})
const nicOf = (mac: string): Nic => ({ mac, device_id: mac, network: 'default', bridge: null, model: 'virtio' })
const macs = ['52:54:00:00:00:01', '52:54:00:00:00:02', '52:54:00:00:00:03']

const guests: fc.Arbitrary<Definition> = fc
  .record({
    memory: fc.integer({ min: 1, max: 64 }).map((count) => count * 128),
    isBallooned: fc.boolean(),
    cpus: fc.integer({ min: 1, max: 8 }),
    spare: fc.integer({ min: 0, max: 4 }),
    cpu_model: fc.constantFrom(null, 'maximum', 'host-model', 'Skylake-Client'),
    firmware: fc.constantFrom('bios' as const, 'uefi' as const),
    iso: fc.constantFrom(null, '/iso/a.iso', '/iso/b&c.iso'),
    boot: fc.constantFrom(null, { kernel: '/k', cmdline: 'a="<b>" & c' }, { kernel: '/k2', initrd: '/i' }),
    disks: fc
      .tuple(fc.subarray(['vda', 'vdb', 'sda', 'sdb']), diskSources)
      .map(([ids, source]) => ids.map((id, index) => (index === 0 ? diskAt(id, source) : diskAt(id)))),
    nics: fc.subarray(macs).map((all) => all.map(nicOf)),
    isOrdered: fc.boolean(),
  })
  .map(({ isBallooned, spare, isOrdered, ...guest }) => {
    const bootable = [...guest.disks.map(({ id }) => id).toReversed(), ...guest.nics.map(({ mac }) => mac)]
    return {
      ...plainGuest,
      ...guest,
      balloon: isBallooned && guest.memory > 128 ? 128 : null,
      max_cpus: spare === 0 ? null : guest.cpus + spare,
      boot_order: isOrdered && bootable.length > 0 ? bootable : null,
    }
  })

const xmlOf = (guest: Definition) => domainXml(guest, { log: '/log', socket: '/socket', variables: '/variables' })
/** What Horcrux says of a guest, read back from XML. */
const told = (xml: string) => {
  const { disks, nics, ...rest } = readDomain(parseXml(xml))
  const byName = <T extends object>(list: T[]) => list.map((each) => JSON.stringify(each)).toSorted()
  return { ...rest, disks: byName(disks), nics: byName(nics) }
}

/** Things of others, anywhere in a domain. */
const foreign: fc.Arbitrary<Element> = fc.record({
  name: fc.constantFrom('watchdog', 'hostdev', 'sysinfo', 'qemu:commandline', 'iotune', 'tpm', 'unknown'),
  attributes: fc.dictionary(fc.constantFrom('model', 'a', 'x:b'), fc.string({ unit: 'binary-ascii', maxLength: 8 })),
  children: fc.constantFrom([], ['text <&> " \' of it']),
})
const isPrintable = (text: string) => /^[\t\n\r -~]*$/.test(text)
const sown = fc
  .array(fc.tuple(fc.nat(), foreign), { minLength: 1, maxLength: 5 })
  .filter((all) => all.every(([, { attributes }]) => Object.values(attributes).every(isPrintable)))

/** Puts each into some element that is no text's, and marks it so that it is found again. */
function sow(xml: string, all: [number, Element][]): { xml: string; marks: string[] } {
  const root = parseXml(xml)
  const walk = (element: Element): Element[] => [element, ...elements(element).flatMap(walk)]
  const homes = [root, at(root, 'devices')!, at(root, 'os')!, ...walk(at(root, 'devices')!).filter(isKept)]
  const marks = all.map(([place, element], index) => {
    const copy = { ...element, attributes: { ...element.attributes, mark: String(index) } }
    homes[place % homes.length]!.children.push(copy)
    return writeXml(copy)
  })
  return { xml: writeXml(root), marks }
}
/** Devices that every guest of this test has, whatever else changes of it. */
const isKept = ({ name }: Element) => ['serial', 'channel', 'rng', 'memballoon'].includes(name)

test('merged XML has the wanted settings, and keeps everything that Horcrux does not know', () => {
  fc.assert(
    fc.property(guests, guests, sown, (was, wanted, things) => {
      const there = sow(xmlOf(was), things)
      const merged = mergeDomain(there.xml, xmlOf(wanted))
      for (const mark of there.marks) expect(merged).toContain(mark)
      expect({ ...told(merged), iso: null }).toEqual({ ...told(xmlOf(wanted)), iso: null })
      // A drive stays when its ISO goes.
      expect(readDomain(parseXml(merged)).iso).toBe(wanted.iso)
    }),
    { numRuns: 50 },
  )
})

test('merging the current settings changes nothing, and merging twice equals merging once', () => {
  fc.assert(
    fc.property(guests, guests, (was, wanted) => {
      const there = writeXml(parseXml(xmlOf(was)))
      expect(mergeDomain(there, xmlOf(was))).toBe(there)
      const once = mergeDomain(there, xmlOf(wanted))
      expect(mergeDomain(once, xmlOf(wanted))).toBe(once)
    }),
    { numRuns: 30 },
  )
})

test('devices that others attached stay, ours that are not wanted any more go', () => {
  const was = { ...plainGuest, disks: [diskAt('vda'), diskAt('vdb')], nics: [nicOf(macs[0]!)] }
  const root = parseXml(xmlOf(was))
  at(root, 'devices')!.children.push(
    parseXml(
      `<disk type="network" device="disk"><source protocol="rbd" name="p/i"/><target dev="vdc" bus="virtio"/></disk>`,
    ),
    parseXml(`<interface type="user"><mac address="52:54:00:00:00:09"/><model type="virtio"/></interface>`),
  )
  const merged = mergeDomain(
    writeXml(root),
    xmlOf({ ...was, disks: [diskAt('vda', { type: 'file', path: '/images/new.qcow2' })], nics: [] }),
  )
  expect(merged).toContain('<source protocol="rbd" name="p/i"/>')
  expect(merged).toContain('52:54:00:00:00:09')
  expect(merged).toContain('/images/new.qcow2')
  expect(merged).not.toContain('vdb')
  expect(merged).not.toContain(macs[0])
})

test('the operation that made a domain stays in its mark; one that was there before gets none', () => {
  const files = { log: '/log', socket: '/socket', variables: '/variables' }
  const made = domainXml(plainGuest, files, { madeBy: 'operation-1' })
  const changed = mergeDomain(made, xmlOf({ ...plainGuest, memory: 2048 }))
  expect(markOf(parseXml(changed))).toMatchObject({ id: 'web', madeBy: 'operation-1' })
  expect(markOf(parseXml(mergeDomain(unmarked(made), xmlOf(plainGuest))))).toMatchObject({ id: 'web', madeBy: null })
  // The mark of another VM is not this one's.
  expect(markOf(parseXml(mergeDomain(made, xmlOf({ ...plainGuest, id: 'other' })))).madeBy).toBeNull()
})

test('an adopted domain keeps its own way of saying things: units, addresses, boot order, features, its drive', () => {
  const there = `<domain type="kvm" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0"><name>web</name><uuid>${plainGuest.handle}</uuid><memory unit="KiB">1000000</memory><currentMemory unit="KiB">1000000</currentMemory><vcpu placement="static" cpuset="0-1">2</vcpu><os><type arch="x86_64" machine="pc-i440fx-7.2">hvm</type><loader readonly="yes" type="pflash">/f.fd</loader><nvram>/n.fd</nvram><boot dev="network"/><boot dev="hd"/></os><cpu mode="custom" match="exact"><model fallback="forbid">Skylake-Client</model><topology sockets="1" dies="1" cores="2" threads="1"/><feature policy="require" name="vmx"/></cpu><devices><disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="/d.raw"/><target dev="hda" bus="ide"/><iotune><read_iops_sec>5</read_iops_sec></iotune><address type="drive" unit="0"/></disk><disk type="file" device="cdrom"><source file="/i.iso"/><target dev="hdc" bus="ide"/><readonly/></disk><interface type="bridge"><mac address="${macs[0]}"/><source bridge="br0"/><vlan><tag id="7"/></vlan></interface></devices><qemu:commandline><qemu:arg value="-foo"/></qemu:commandline></domain>`
  const found = readDomain(parseXml(there))
  expect(found).toMatchObject({
    memory: 976,
    balloon: null,
    cpus: 2,
    cpu_model: 'Skylake-Client',
    topology: { sockets: 1, cores: 2, threads: 1 },
    firmware: 'uefi',
    iso: '/i.iso',
    disks: [{ id: 'hda', source: { type: 'file', path: '/d.raw' }, bus: 'ide', cache: 'default' }],
    nics: [{ mac: macs[0], bridge: 'br0', model: 'rtl8139' }],
  })
  // What libvirt says in words of its own is in the words of the contract by now.
  const disks = [{ ...diskAt('hda'), ...found.disks[0] }]
  const nics = found.nics.map((nic) => ({ ...nic, device_id: nic.mac }))
  const guest = { ...plainGuest, ...found, accel: 'kvm', disks, nics }
  const marked = mergeDomain(there, xmlOf(guest as Definition))
  expect(unmarked(marked)).toBe(there)
  const changed = mergeDomain(marked, xmlOf({ ...guest, memory: 2048, iso: null } as Definition))
  expect(changed).toContain('<memory unit="MiB">2048</memory>')
  for (const kept of ['cpuset="0-1"', '<iotune>', '<vlan>', 'pc-i440fx-7.2', '-foo', '<feature', '<nvram>', 'network'])
    expect(changed).toContain(kept)
  expect(changed).not.toContain('/i.iso')
  expect(changed).toContain('hdc')
})
