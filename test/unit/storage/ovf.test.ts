import { describe, expect, test } from 'vitest'
import { readOvf } from '../../../services/storage/images/ovf/read-ovf.ts'
import { bytesOfUnit } from '../../../services/storage/images/ovf/units.ts'
import { virtualBoxOvf, virtV2vOvf, vmwareOvf } from '../../lab/storage/appliances.ts'

const GiB = 2 ** 30
const disk = (file: string, capacity = GiB) => ({ file, bytes: 1000, capacity })
const virtualBox = virtualBoxOvf(disk('web-disk001.vmdk', 8 * GiB))

test('a descriptor of VirtualBox: AHCI disk, NAT with its address, and the parts without a place here', () => {
  expect(readOvf(virtualBox)).toEqual({
    name: 'Debian 12.web',
    description: '',
    cpus: 2,
    cores_per_socket: null,
    memory_bytes: 1000 * 2 ** 20,
    firmware: null,
    disks: [{ file: 'web-disk001.vmdk', size_bytes: 8 * GiB, bus: 'sata', controller: 'AHCI' }],
    nics: [{ network: 'NAT', model: 'E1000', mac: '08:00:27:d0:41:d7' }],
    unmapped: ['USB controller (usb)', 'sound card (sound)', 'CD drive (cdrom1)'],
  })
  expect(readOvf(virtualBox.replace('<Memory RAM', '<Firmware type="EFI"/><Memory RAM')).firmware).toBe('uefi')
})

test('a descriptor of VMware: EFI, sockets, disks in the order of their controllers, an empty disk', () => {
  const read = readOvf(vmwareOvf(disk('shop-1.vmdk', 2 * GiB), disk('shop-2.vmdk')))
  expect(read).toMatchObject({
    name: 'shop',
    description: 'The shop & its till',
    cpus: 4,
    cores_per_socket: 2,
    firmware: 'uefi',
  })
  expect(read.memory_bytes).toBe(512 * 2 ** 20)
  expect(read.disks).toEqual([
    { file: 'shop-1.vmdk', size_bytes: 2 * GiB, bus: 'other', controller: 'lsilogicsas' },
    { file: null, size_bytes: 3 * GiB, bus: 'other', controller: 'lsilogicsas' },
    { file: 'shop-2.vmdk', size_bytes: GiB, bus: 'sata', controller: 'vmware.sata.ahci' },
  ])
  expect(read.nics).toEqual([{ network: 'VM Network', model: 'VmxNet3', mac: null }])
  expect(read.unmapped).toEqual([
    'CD drive (CD/DVD Drive 1)',
    'ProductSection',
    'settings of VMware: wakeOnLanEnabled, cpuHotAddEnabled',
  ])
})

test('a descriptor of virt-v2v: sections by their type, sizes in GiB, a virtio disk below a folder', () => {
  const read = readOvf(virtV2vOvf(disk('90b62105-4ae8-4a4b-826b-dfe970ae28d9', 16 * GiB)))
  expect(read).toMatchObject({ name: 'ledger', cpus: 2, cores_per_socket: 2, firmware: 'bios' })
  expect(read.disks).toEqual([
    { file: '90b62105-4ae8-4a4b-826b-dfe970ae28d9', size_bytes: 16 * GiB, bus: 'virtio', controller: 'VirtIO' },
  ])
  expect(read.nics).toEqual([{ network: 'ovirtmgmt', model: 'virtio', mac: '52:54:00:01:02:03' }])
})

test('units are those of DSP0004, and the words of older producers', () => {
  expect([bytesOfUnit('byte'), bytesOfUnit('byte * 2^30'), bytesOfUnit('bytes*1024*1024')]).toEqual([1, GiB, 2 ** 20])
  expect([bytesOfUnit('MegaBytes'), bytesOfUnit('GB'), bytesOfUnit('KiloBytes')]).toEqual([2 ** 20, GiB, 1024])
  expect(() => bytesOfUnit('parsec')).toThrow(/'parsec' is not known/)
})

const changed = (from: string | RegExp, to: string) => {
  const text = virtualBox.replace(from, to)
  expect(text).not.toBe(virtualBox)
  return text
}

describe('a hostile or broken descriptor', () => {
  const entity = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
  test.each([
    ['with a document type', () => `${entity}${virtualBox}`, /document type/],
    ['that is no descriptor', () => '<html><body>Not found</body></html>', /begins with html/],
    ['that is no XML', () => 'PK\u0003\u0004', /begins with no element/],
    ['nested 100,000 deep', () => `${'<a>'.repeat(100_000)}${'</a>'.repeat(100_000)}`, /nested|stack|depth/i],
    [
      'nested 40 deep',
      () => changed('<References>', `${'<a>'.repeat(40)}${'</a>'.repeat(40)}<References>`),
      /nested deeper/,
    ],
    [
      'with two virtual systems',
      () => virtualBoxOvf(disk('a'), { more: '<VirtualSystem ovf:id="b"/>' }),
      /2 virtual systems/,
    ],
    ['with a file elsewhere', () => changed('ovf:href="', 'ovf:href="http://evil/'), /is elsewhere/],
    ['with a compressed file', () => changed('ovf:id="file1"', 'ovf:id="file1" ovf:compression="gzip"'), /compressed/],
    ['with a file in parts', () => changed('ovf:id="file1"', 'ovf:id="file1" ovf:chunkSize="7"'), /several parts/],
    ['whose disk is nowhere', () => changed('/disk/vmdisk1', '/disk/other'), /no disk '.disk.other'/],
    ['whose disk has a parent', () => changed('ovf:fileRef', 'ovf:parentRef="vmdisk0" ovf:fileRef'), /difference/],
    ['whose disk is in no file', () => changed('ovf:fileRef="file1"', 'ovf:fileRef="file9"'), /in no file/],
    [
      'with a capacity that is no number',
      () => changed(/ovf:capacity="\d+"/, 'ovf:capacity="${size}"'),
      /not a whole number/,
    ],
    ['with more memory than there is', () => changed('MegaBytes', 'byte * 2^900'), /the memory is/],
    [
      'with a negative number of CPUs',
      () => changed('<rasd:VirtualQuantity>2', '<rasd:VirtualQuantity>-2'),
      /number of CPUs/,
    ],
    ['without hardware', () => changed(/<VirtualHardwareSection>[^]*<\/VirtualHardwareSection>/, ''), /no hardware/],
  ])('%s is refused', (_, text, reason) => {
    expect(() => readOvf(text())).toThrow(reason)
  })

  test('of a megabyte of settings is told in short', () => {
    const settings = '<vbox:Config key="k" value="v"/>'.repeat(1000)
    const sections = Array.from({ length: 200 }, (_, index) => `<X${index}Section/>`).join('')
    const { unmapped } = readOvf(changed('</VirtualSystem>', `${settings}${sections}</VirtualSystem>`))
    expect(unmapped).toHaveLength(101)
    expect(unmapped.at(-1)).toMatch(/^and \d+ more$/)
  })

  test('that gives an attribute twice, or one with the name of a prototype, is refused', () => {
    const withMore = (more: string) => readOvf(changed('ovf:diskId="vmdisk1"', `ovf:diskId="vmdisk1" ${more}`))
    expect(() => withMore('diskId="x"')).toThrow(/no disk '.disk.vmdisk1'/)
    expect(() => withMore('__proto__="y"')).toThrow(/__proto__/)
  })
})
