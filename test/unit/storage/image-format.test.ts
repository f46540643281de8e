import { expect, test } from 'vitest'
import { formatOf } from '../../../services/storage/images/image-format.ts'

const sector = (bytes: string, at = 0) => {
  const buffer = Buffer.alloc(512)
  buffer.write(bytes, at, 'latin1')
  return buffer
}
const nothing = sector('')

test.each([
  ['QFI\xfb\0\0\0\x03', 0, 'qcow2'],
  ['\x7f\x10\xda\xbe', 64, 'vdi'],
  ['vhdxfile', 0, 'vhdx'],
  ['\x55\xaa', 510, 'raw'],
  ['', 0, 'raw'],
  ['LABELONE', 0, 'raw'],
])('%j at byte %i is a %s image', (bytes, at, format) => {
  expect(formatOf(sector(bytes, at), nothing)).toEqual({ format })
})

test.each([
  ['\x1f\x8b\x08', 'gzip'],
  ['\xfd7zXZ\0', 'xz'],
  ['\x28\xb5\x2f\xfd', 'zstd'],
  ['\x04\x22\x4d\x18', 'lz4'],
  ['BZh91AY&SY', 'bzip2'],
  ['PK\x03\x04', 'zip'],
  ['7z\xbc\xaf\x27\x1c', '7z'],
  ['Rar!\x1a\x07', 'rar'],
  ['COWD', 'vmdk'],
  ['# Disk DescriptorFile\n', 'vmdk'],
  ['conectix', 'vpc'],
  ['QFI\xfb\0\0\0\x01', 'qcow image of version 1'],
  ['LUKS\xba\xbe', 'luks'],
  ['<!DOCTYPE html>\n', 'HTML'],
  ['\xef\xbb\xbf\n <html lang="en">', 'HTML'],
  ['<?xml version="1.0"?><Error>', 'XML'],
])('%j is refused as %s, with what to do', (bytes, name) => {
  const found = formatOf(sector(bytes), nothing)
  expect(found).toMatchObject({ refused: expect.stringContaining(name) })
  expect(found).toMatchObject({ refused: expect.stringMatching(/: (unpack|convert|decrypt|download) /) })
})

test('formats with their mark in the last sector are refused too', () => {
  expect(formatOf(nothing, sector('conectix'))).toMatchObject({ refused: expect.stringContaining('VHD') })
  expect(formatOf(nothing, sector('koly'))).toMatchObject({ refused: expect.stringContaining('dmg') })
  expect(formatOf(sector('ustar', 257), nothing)).toMatchObject({ refused: expect.stringContaining('OVA') })
})
