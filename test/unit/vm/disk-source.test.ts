import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  DiskSource,
  isSameSource,
  nameOfSource,
  pathOfSource,
  withPath,
} from '#shared/contracts/storage/disk-source.ts'
import { isValid } from '#shared/contract/validate.ts'
import { domainXml } from '../../../services/vm/drivers/qemu/xml/domain-xml.ts'
import { takeDisk } from '../../../services/vm/drivers/qemu/xml/merge-devices.ts'
import { sourceElement, sourceOf } from '../../../services/vm/drivers/qemu/xml/disk-source.ts'
import { readDomain } from '../../../services/vm/drivers/qemu/xml/parse-domain-xml.ts'
import { parseXml, writeXml } from '../../../services/vm/drivers/qemu/xml/xml.ts'
import { diskSources } from '../../lab/guests/disk-sources.ts'
import { plainGuest } from '../../lab/guests/plain-guest.ts'

const files = { log: '/log', socket: '/socket', variables: '/variables' }
const diskWith = (source: DiskSource) => ({
  id: 'vda',
  device_id: 'vda',
  pool: null,
  volume: null,
  source,
  format: 'raw' as const,
  size_bytes: 0,
  bus: 'virtio' as const,
  cache: 'none' as const,
  readonly: false,
})
const network: DiskSource = {
  type: 'network',
  protocol: 'rbd',
  name: 'pool/image',
  servers: [{ host: 'mon1', port: 6789 }, { host: 'mon2' }],
  secret: { username: 'admin', usage: 'ceph', uuid: '2a5b08e4-3dca-4ff9-9a1d-40389758d081' },
}

test('a source of any type is read from the domain XML as it was written', () => {
  fc.assert(
    fc.property(diskSources, (source) => {
      expect(isValid(DiskSource, source)).toBe(true)
      const xml = domainXml({ ...plainGuest, disks: [diskWith(source)] }, files)
      const [found] = readDomain(parseXml(xml)).disks
      expect(found?.source).toEqual(source)
      expect(isSameSource(found!.source, source)).toBe(true)
    }),
  )
})

test('each type has the words of libvirt', () => {
  const xmlOf = (source: DiskSource) => writeXml(sourceElement(source))
  expect(xmlOf({ type: 'file', path: '/a&b.raw' })).toBe('<source file="/a&amp;b.raw"/>')
  expect(xmlOf({ type: 'block', path: '/dev/vg/lv' })).toBe('<source dev="/dev/vg/lv"/>')
  expect(xmlOf(network)).toBe(
    '<source protocol="rbd" name="pool/image"><host name="mon1" port="6789"/><host name="mon2"/>' +
      '<auth username="admin"><secret type="ceph" uuid="2a5b08e4-3dca-4ff9-9a1d-40389758d081"/></auth></source>',
  )
  const xml = domainXml({ ...plainGuest, disks: [diskWith({ type: 'block', path: '/dev/vg/lv' })] }, files)
  expect(xml).toContain('<disk type="block" device="disk">')
})

const read = (xml: string) => sourceOf(parseXml(xml))

test('a secret beside the source is read, and a disk that a record cannot describe is no source', () => {
  const auth = '<auth username="admin"><secret type="ceph" uuid="2a5b08e4-3dca-4ff9-9a1d-40389758d081"/></auth>'
  const hosts = '<host name="mon1" port="6789"/><host name="mon2"/>'
  expect(read(`<disk type="network">${auth}<source protocol="rbd" name="pool/image">${hosts}</source></disk>`)).toEqual(
    network,
  )
  const byUsage = '<auth username="admin"><secret type="ceph" usage="x"/></auth>'
  expect(read(`<disk type="network"><source protocol="rbd" name="p/i">${byUsage}</source></disk>`)).toBeNull()
  const unix = '<host transport="unix" socket="/s"/>'
  expect(read(`<disk type="network"><source protocol="nbd" name="x">${unix}</source></disk>`)).toBeNull()
  expect(read('<disk type="volume"><source pool="default" volume="v"/></disk>')).toBeNull()
  expect(read('<disk type="file" device="cdrom"><target dev="sdz"/></disk>')).toBeNull()
})

test('a definition keeps its own source when it is the same, and loses all of it when it is another', () => {
  const there = parseXml(
    '<disk type="network"><driver type="raw"/><auth username="old"><secret type="ceph" uuid="1"/></auth><source protocol="rbd" name="old" index="2"><host name="mon1"/></source></disk>',
  )
  const wanted = (source: DiskSource) => ({
    name: 'disk',
    attributes: { type: source.type },
    children: [parseXml('<driver type="raw"/>'), sourceElement(source)],
  })
  const same: DiskSource = {
    type: 'network',
    protocol: 'rbd',
    name: 'old',
    servers: [{ host: 'mon1' }],
    secret: { username: 'old', usage: 'ceph', uuid: '1' },
  }
  takeDisk(there, wanted(same))
  expect(writeXml(there)).toContain('index="2"')
  takeDisk(there, wanted({ type: 'file', path: '/new' }))
  expect(writeXml(there)).toBe('<disk type="file"><driver type="raw"/><source file="/new"/></disk>')
})

test('a view has the path of a file or device, and null for a network image', () => {
  expect(withPath({ source: { type: 'file' as const, path: '/a' } })).toEqual({
    source: { type: 'file', path: '/a' },
    path: '/a',
  })
  expect(pathOfSource({ type: 'block', path: '/dev/a' })).toBe('/dev/a')
  expect(withPath({ source: network }).path).toBeNull()
  expect(nameOfSource(network)).toBe('rbd:pool/image')
})

test('a path is the same image as file and as device; network images differ in any field', () => {
  expect(isSameSource({ type: 'file', path: '/dev/a' }, { type: 'block', path: '/dev/a' })).toBe(true)
  expect(isSameSource({ type: 'file', path: '/a' }, { type: 'file', path: '/b' })).toBe(false)
  expect(isSameSource(network, structuredClone(network))).toBe(true)
  expect(isSameSource(network, { ...network, servers: [] } as DiskSource)).toBe(false)
  expect(isSameSource(network, { type: 'file', path: 'pool/image' })).toBe(false)
})
