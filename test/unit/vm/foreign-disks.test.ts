import { expect, test } from 'vitest'
import type { Definition } from '../../../services/vm/drivers/guest.ts'
import { pendingWithout } from '../../../services/vm/state/foreign.ts'
import { foreignIn, lostIn } from '../../../services/vm/drivers/qemu/inventory.ts'
import type { DiskRecord } from '../../../services/vm/model.ts'
import { domainXml } from '../../../services/vm/drivers/qemu/xml/domain-xml.ts'
import { takenPlaces } from '../../../services/vm/drivers/qemu/xml/drive-places.ts'
import { mergeDomain } from '../../../services/vm/drivers/qemu/xml/merge.ts'
import { seedIn, targetOf } from '../../../services/vm/drivers/qemu/xml/parse-domain-xml.ts'
import { at, attribute, elements, parseXml, writeXml } from '../../../services/vm/drivers/qemu/xml/xml.ts'
import { plainGuest } from '../../lab/guests/plain-guest.ts'

const diskAt = (id: string, bus: DiskRecord['bus'] = 'virtio', path = `/images/${id}.qcow2`): DiskRecord => ({
  id,
  device_id: id,
  pool: null,
  volume: null,
  source: { type: 'file', path },
  format: 'qcow2',
  size_bytes: 0,
  bus,
  cache: 'writeback',
  readonly: false,
})
const xmlOf = (guest: Partial<Definition>) =>
  domainXml({ ...plainGuest, ...guest }, { log: '/log', socket: '/socket', variables: '/variables' })
const disksIn = (xml: string) => elements(at(parseXml(xml), 'devices'), 'disk')
const targetsIn = (xml: string) => disksIn(xml).map(targetOf)
const devicesAdded = (xml: string, ...devices: string[]) => {
  const root = parseXml(xml)
  at(root, 'devices')!.children.push(...devices.map(parseXml))
  return writeXml(root)
}
const theirs = {
  volume: '<disk type="volume" device="disk"><source pool="p" volume="root"/><target dev="vda" bus="virtio"/></disk>',
  network:
    '<disk type="network" device="disk"><source protocol="nbd"><host transport="unix" socket="/s"/></source><target dev="vda" bus="virtio"/></disk>',
  lun: '<disk type="block" device="lun"><source dev="/dev/sdq"/><target dev="vda" bus="scsi"/></disk>',
  file: '<disk type="file" device="disk"><source file="/theirs.qcow2"/><target dev="vda" bus="virtio"/></disk>',
}

test.each(Object.entries(theirs))('a disk of others at a wanted place stays: %s', (_, device) => {
  const there = devicesAdded(xmlOf({ disks: [] }), device)
  const merged = mergeDomain(there, xmlOf({ disks: [diskAt('vda')] }))
  expect(merged).toContain(writeXml(parseXml(device)))
  expect(merged).not.toContain('<source file="/images/vda.qcow2"/>')
  // Not named by the next definition either, nor removed by one without it.
  expect(mergeDomain(merged, xmlOf({ disks: [] }))).toContain(writeXml(parseXml(device)))
  expect(takenPlaces(parseXml(there), 'virtio')).toContain('vda')
})

test('an overlay that others have put in the place of our disk is neither replaced nor removed', () => {
  const ours = xmlOf({ disks: [diskAt('vda'), diskAt('vdb')] })
  const there = ours.replace('<source file="/images/vda.qcow2"', '<source file="/images/vda.snap1"')
  const changed = mergeDomain(there, xmlOf({ memory: 2048, disks: [diskAt('vda'), diskAt('vdb')] }))
  expect(changed).toContain('<source file="/images/vda.snap1"/>')
  expect(changed).toContain('2048')
  const without = mergeDomain(there, xmlOf({ disks: [] }))
  expect(targetsIn(without)).toEqual(['vda', 'sdz'])
  expect(foreignIn(parseXml(there), [diskAt('vda'), diskAt('vdb')])).toEqual([
    { id: 'vda', device: 'disk', type: 'file', source: '/images/vda.snap1' },
  ])
})

test('the mark of an earlier version, without sources, replaces nothing at a wanted place, and still removes ours', () => {
  const old = parseXml(xmlOf({ disks: [diskAt('vda'), diskAt('vdb')] }))
  const mark = at(old, 'metadata', 'horcrux:vm')!
  mark.children = []
  delete mark.attributes['seed']
  const there = writeXml(old).replace('/images/vda.qcow2', '/images/other.qcow2')
  const merged = mergeDomain(there, xmlOf({ disks: [diskAt('vda')] }))
  expect(merged).toContain('<source file="/images/other.qcow2"/>')
  expect(targetsIn(merged)).toEqual(['vda', 'sdz'])
})

test('a disk that others moved to another place is ours still, by its source', () => {
  const there = xmlOf({ disks: [diskAt('vda')] }).replace('dev="vda"', 'dev="vdc"')
  const merged = mergeDomain(there, xmlOf({ disks: [{ ...diskAt('vda'), cache: 'none' }] }))
  expect(targetsIn(merged)).toEqual(['vdc', 'sdz'])
  expect(merged).toContain('cache="none"')
})

test('media of a second drive and disks that a record cannot describe are foreign; recorded disks and empty drives are not', () => {
  const drive = (dev: string, source: string) =>
    `<disk type="file" device="cdrom">${source}<target dev="${dev}" bus="sata"/><readonly/></disk>`
  const there = devicesAdded(
    xmlOf({ disks: [diskAt('vdb')], iso: '/i.iso', seed: '/s.iso' }),
    theirs.volume,
    drive('sda', '<source file="/virtio-win.iso"/>'),
    drive('sdb', ''),
  )
  expect(foreignIn(parseXml(there), [diskAt('vdb')])).toEqual([
    { id: 'vda', device: 'disk', type: 'volume', source: 'p/root' },
    { id: 'sda', device: 'cdrom', type: 'file', source: '/virtio-win.iso' },
  ])
})

const controller = (model: string) => `<controller type="scsi" index="0" model="${model}"/>`
const addressIn = (xml: string, place: string) => {
  const { attributes } = at(
    disksIn(xml).find((disk) => targetOf(disk) === place),
    'address',
  )!
  return `${attributes['controller']}:${attributes['unit']}`
}

test('a seed gets a free unit that its controller has, else a controller of its own', () => {
  const bare = xmlOf({ disks: [] })
  const seeded = xmlOf({ disks: [], seed: '/s.iso' })
  expect(addressIn(mergeDomain(devicesAdded(bare, controller('lsilogic')), seeded), 'sdy')).toBe('0:6')
  expect(addressIn(mergeDomain(devicesAdded(bare, controller('virtio-scsi')), seeded), 'sdy')).toBe('0:24')
  const disk = (unit: number) =>
    `<disk type="file" device="disk"><source file="/${unit}"/><target dev="sd${'abcdefg'[unit]}" bus="scsi"/><address type="drive" controller="0" bus="0" target="0" unit="${unit}"/></disk>`
  const full = devicesAdded(bare, controller('lsilogic'), ...[0, 1, 2, 3, 4, 5, 6].map(disk))
  const merged = mergeDomain(full, seeded)
  expect(addressIn(merged, 'sdy')).toBe('1:24')
  expect(merged).toContain('<controller type="scsi" index="1" model="virtio-scsi"/>')
  expect(mergeDomain(merged, seeded)).toBe(merged)
})

test('drives take other names than disks that are called sdy and sdz, and are found again under them', () => {
  const disks = ['sdy', 'sdz'].map((id) => diskAt(id, 'scsi'))
  const bare = parseXml(xmlOf({ disks }))
  const devices = at(bare, 'devices')!
  devices.children = elements(devices).filter((each) => attribute(each, 'device') !== 'cdrom')
  const there = writeXml(bare)
  const guest = { disks, iso: '/i.iso', seed: '/s.iso' }
  const merged = mergeDomain(there, xmlOf(guest))
  expect(new Set(targetsIn(merged)).size).toBe(4)
  expect(
    disksIn(merged)
      .filter((disk) => attribute(disk, 'device') === 'disk')
      .map(targetOf),
  ).toEqual(['sdy', 'sdz'])
  expect(attribute(at(seedIn(parseXml(merged)), 'source'), 'file')).toBe('/s.iso')
  expect(mergeDomain(merged, xmlOf(guest))).toBe(merged)
  const ejected = mergeDomain(merged, xmlOf({ disks }))
  expect(ejected).not.toContain('.iso')
  expect(disksIn(ejected)).toHaveLength(4)
  // Also in a definition that is written anew, as of a clone.
  expect(new Set(targetsIn(xmlOf(guest))).size).toBe(4)
})

test('a place whose unit the controller lacks, or another disk has, is not given away', () => {
  const bare = xmlOf({ disks: [] })
  const narrow = takenPlaces(parseXml(devicesAdded(bare, controller('lsilogic'))), 'scsi')
  expect([...'ghijklmno'].map((letter) => narrow.includes(`sd${letter}`))).toEqual([
    false,
    ...Array.from({ length: 8 }, () => true),
  ])
  expect(narrow).not.toContain('sdp')
  const moved =
    '<disk type="file" device="disk"><source file="/m"/><target dev="sdk" bus="sata"/><address type="drive" controller="0" bus="0" target="0" unit="1"/></disk>'
  expect(takenPlaces(parseXml(devicesAdded(bare, moved)), 'sata')).toEqual(expect.arrayContaining(['sdb', 'sdk']))
})

test('every SCSI controller that the disks of a new guest need is a virtio-scsi one', () => {
  const xml = xmlOf({ disks: [diskAt('sda', 'scsi'), diskAt('sdx', 'scsi')] })
  const models = elements(at(parseXml(xml), 'devices'), 'controller')
    .filter((each) => attribute(each, 'type') === 'scsi')
    .map((each) => `${attribute(each, 'index')} ${attribute(each, 'model')}`)
  expect(models).toEqual(['0 virtio-scsi', '1 virtio-scsi'])
})

test('the drive of the ISO of a new guest leaves the ports of its SATA disks alone', () => {
  const disks = ['sda', 'sdf'].map((id) => diskAt(id, 'sata'))
  expect(addressIn(xmlOf({ disks, iso: '/i.iso' }), 'sdz')).toBe('0:4')
  const full = [...'abcdef'].map((letter) => diskAt(`sd${letter}`, 'sata'))
  expect(addressIn(xmlOf({ disks: full, iso: '/i.iso' }), 'sdz')).toBe('1:5')
})

test('a disk of the record is lost when the running guest has neither it nor anything in its place', () => {
  const disks = [diskAt('vda'), diskAt('vdb')]
  const running = xmlOf({ disks: [diskAt('vda')] }).replace('<domain ', '<domain id="7" ')
  expect(lostIn(parseXml(running), disks)).toEqual(['vdb'])
  expect(lostIn(parseXml(running.replace('/images/vda.qcow2', '/images/vda.snap1')), disks)).toEqual(['vdb'])
  expect(lostIn(parseXml(running), [diskAt('vdc', 'virtio', '/images/vda.qcow2')])).toEqual([])
  expect(lostIn(parseXml(xmlOf({ disks: [] })), disks)).toEqual([])
})

test('a lost disk is pending once, beside other pending changes, and only of a guest that runs', () => {
  const disks = [diskAt('vda'), diskAt('vdb')]
  const memory = { field: 'memory', current: 1, next: 2 }
  const waits = { field: 'disks', current: [diskAt('vda')], next: disks }
  const vm = { status: 'running' as const, pending: [memory], disks }
  expect(pendingWithout(vm, ['vdb'])).toEqual([memory, waits])
  expect(pendingWithout({ ...vm, pending: [memory, waits] }, ['vdb'])).toBeUndefined()
  expect(pendingWithout({ ...vm, pending: [waits] }, ['vda', 'vdb'])).toEqual([{ ...waits, current: [] }])
  expect(pendingWithout({ ...vm, status: 'stopped' }, ['vdb'])).toBeUndefined()
})
