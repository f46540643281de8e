import { expect, test } from 'vitest'
import { digestsOf, disksIn, refusedMember } from '../../../services/storage/images/ova.ts'
import { readVmdkHeader, refusedVmdk } from '../../../services/storage/images/vmdk-header.ts'

const file = (name: string, more = {}) => ({ name, type: 'file' as const, size: 10, ...more })

test.each([
  [file('/etc/passwd.ovf'), [], /path/],
  [file('../web.ovf'), [], /path/],
  [file('a\\b.ovf'), [], /path/],
  [file('..'), ['web.ovf'], /path/],
  [file('web.vmdk'), [], /begins with its .ovf/],
  [file('other.ovf'), ['web.ovf'], /two descriptors/],
  [file('web.vmdk'), ['web.ovf', 'web.vmdk'], /two files named/],
  [file('web.vmdk', { type: 'symlink' }), ['web.ovf'], /symlink/],
  [file('web.vmdk', { type: 'link' }), ['web.ovf'], /link/],
  [file('web.vmdk', { type: 'block-device' }), ['web.ovf'], /block-device/],
  [file('web.ovf', { size: 2 ** 30 }), [], /1073741824 bytes/],
  [file('x'), Array.from({ length: 64 }, (_, index) => (index ? `${index}` : 'web.ovf')), /more than 64/],
])('an archive with %j after %j is refused', (member, seen, reason) => {
  expect(refusedMember(member, seen)).toMatch(reason)
})

test('plain files after a descriptor are accepted', () => {
  expect(refusedMember(file('web.ovf'), [])).toBeNull()
  expect(refusedMember(file('web-disk1.vmdk', { size: 2 ** 40 }), ['web.ovf', 'web.mf'])).toBeNull()
})

test('the digests of a manifest are read, and its other lines are not', () => {
  const text = 'SHA256(web.ovf)= AB12\nSHA1 (web-disk1.vmdk) = cd34\r\nMD5(x)= 00\n'
  expect(digestsOf(text)).toEqual([
    { kind: 'sha256', name: 'web.ovf', digest: 'ab12' },
    { kind: 'sha1', name: 'web-disk1.vmdk', digest: 'cd34' },
  ])
})

test('the disks of a descriptor are found by their references, whatever the prefixes', () => {
  const descriptor = `<?xml version="1.0"?>
    <ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
      <ovf:References><ovf:File ovf:href="b.vmdk" ovf:id="f2"/><ovf:File ovf:href="a.vmdk" ovf:id="f1"/></ovf:References>
      <ovf:DiskSection><ovf:Info>disks</ovf:Info>
        <ovf:Disk ovf:diskId="d1" ovf:fileRef="f1"/><ovf:Disk ovf:diskId="empty"/><ovf:Disk ovf:fileRef="f2"/></ovf:DiskSection>
    </ovf:Envelope>`
  expect(disksIn(descriptor)).toEqual(['a.vmdk', 'b.vmdk'])
  expect(disksIn('<Envelope/>')).toEqual([])
  expect(() => disksIn('')).toThrow('it begins with no element')
  const bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><Envelope/>'
  expect(() => disksIn(bomb)).toThrow('a document type is not read')
})

const whole = 'version=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicSparse"\nRW 2048 SPARSE "disk.vmdk"\n'
const header = { capacityBytes: 2 ** 20, descriptor: { offset: 512, length: 1024 }, hasFooter: false }

test('a vmdk that reads any other file is refused', () => {
  expect(refusedVmdk(header, whole)).toBeNull()
  expect(refusedVmdk(header, whole.replace('monolithicSparse', 'streamOptimized'))).toBeNull()
  expect(refusedVmdk(header, whole.replace('monolithicSparse', 'monolithicFlat'))).toMatch(/monolithicFlat/)
  expect(refusedVmdk(header, whole.replace('ffffffff', '12345678'))).toMatch(/parent/)
  expect(refusedVmdk(header, `${whole}parentFileNameHint="/etc/shadow"\n`)).toMatch(/parent/)
  expect(refusedVmdk(header, `${whole}RW 2048 FLAT "/etc/shadow" 0\n`)).toMatch(/other files/)
  expect(refusedVmdk(header, whole.replace('SPARSE "disk.vmdk"', 'FLAT "/etc/shadow" 0'))).toMatch(/other files/)
  // QEMU follows the descriptor when the header has no capacity.
  expect(refusedVmdk({ ...header, capacityBytes: 0 }, whole)).toMatch(/no disk of its own/)
  expect(refusedVmdk(header, '')).toMatch(/unknown/)
  expect(readVmdkHeader(Buffer.alloc(512))).toBeNull()
  expect(readVmdkHeader(Buffer.from('KDMV'))).toBeNull()
})
