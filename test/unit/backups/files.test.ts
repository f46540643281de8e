import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ValidationError } from '#shared/errors.ts'
import { filenameOf } from '../../../services/storage/files/downloads.ts'
import { entriesIn, pageOf } from '../../../services/storage/files/entries.ts'
import { outcomeOf } from '../../../services/storage/files/guest/outcome.ts'
import { displayOf, namesIn, pathText } from '../../../services/storage/files/paths.ts'
import { volumesIn } from '../../../services/storage/files/volumes.ts'

describe('a path on a disk of a backup', () => {
  test('comes back as the same bytes, whatever its names are', () => {
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 20 })
      .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))))
      .filter((bytes) => !['.', '..'].includes(bytes.toString('latin1')))
    fc.assert(
      fc.property(fc.array(name, { maxLength: 5 }), (names) => {
        const text = pathText(names)
        expect(namesIn(text)).toEqual(names)
        // Neither a terminal nor a page acts on it.
        expect(text).not.toMatch(/[\p{Cc}\p{Cf}]/u)
        for (const each of names) expect(displayOf(each)).not.toMatch(/[\p{Cc}\p{Cf}]/u)
      }),
    )
  })
  test.each(['etc', '/a/../b', '/./a', '/%2e%2e/a', '/%', '/%4', '/%zz', '/a%00b', `/${'a/'.repeat(65)}`, ''])(
    'is refused as %j',
    (path) => expect(() => namesIn(path)).toThrow(ValidationError),
  )
  test('may have slashes behind each other and at its end', () => {
    expect(pathText(namesIn('//etc///nginx/'))).toBe('/etc/nginx')
    expect(namesIn('/')).toEqual([])
  })
})

describe('a listing of the guest', () => {
  const entry = (...fields: string[]) => Buffer.from(fields.map((field) => `${field}\0`).join(''), 'latin1')
  test('is sorted by bytes, and cut into pages', () => {
    const rows = ['b', 'a', '\xe9'].map((name) => entry('f', '644', '0', '0', '7', '1.5', name, ''))
    const entries = entriesIn(Buffer.concat(rows))
    const first = pageOf(entries, [Buffer.from('etc')], { limit: 2 })
    expect(first.data).toMatchObject([
      { path: '/etc/a', mode: '0644', size_bytes: 7, modified_at: '1970-01-01T00:00:01.500Z', target: null },
      { path: '/etc/b' },
    ])
    const rest = pageOf(entries, [], { cursor: first.next_cursor!, limit: 2 })
    expect(rest).toMatchObject({ data: [{ path: '/%E9', name: '\uFFFD' }], next_cursor: null, total: 3 })
  })
  test('has no time that no calendar has, and no number that is none', () => {
    const [found] = entriesIn(entry('?', 'x', '-1', 'nobody', '1e999', '9e18', 'a', ''))
    expect(found).toMatchObject({ kind: 'other', mode: '0000', uid: 0, gid: 0, size_bytes: 0, modified_at: null })
  })
  test.each([entry('f', '644', '0'), Buffer.from('f\x00644'), entry('f', '644', '0', '0', '7', '1', '../a', '')])(
    'that is cut off or has a slash in a name is refused: %j',
    (output) => expect(() => entriesIn(output)).toThrow('listing'),
  )
})

describe('the volumes that the guest finds', () => {
  test('are named after the disks of the backup', () => {
    const text = [
      'disk vda 1000 0',
      'ID_PART_TABLE_TYPE=gpt',
      'partition vda1 500 vda 1',
      String.raw`ID_FS_LABEL_ENC=my\x20\x1b[31mdisk`,
      'ID_FS_TYPE=ext4',
      'partition vda2 400 vda 2',
      'ID_FS_TYPE=crypto_LUKS',
      'disk vdb 2000 1',
      'ID_FS_TYPE=LVM2_member',
      'mapped dm-0 300 data-home',
      'ID_FS_TYPE=xfs',
      'problem a volume group is not whole',
      'mapped dm-1 300 ../../etc',
      'partition ../x 500 vda 3',
      'disk vdc 10 7',
      'noise',
    ].join('\n')
    const { volumes, problems } = volumesIn(text, ['sda', 'nvme0n1'])
    expect(volumes).toMatchObject([
      { id: 'sda1', disk: 'sda', partition: 1, device: 'vda1', label: 'my  [31mdisk', readable: true, reason: null },
      { id: 'sda2', readable: false, reason: 'It is encrypted by LUKS' },
      { id: 'nvme0n1', disk: 'nvme0n1', partition: null, readable: false },
      { id: 'data-home', disk: null, device: 'dm-0', type: 'xfs', readable: true },
    ])
    expect(problems).toEqual(['a volume group is not whole'])
  })
  test('of a disk whose file system has a table in it are its partitions', () => {
    const text = 'disk vda 10 0\nID_FS_TYPE=iso9660\npartition vda2 5 vda 2\nID_FS_TYPE=vfat'
    expect(volumesIn(text, ['nvme0n1']).volumes.map(({ id }) => id)).toEqual(['nvme0n1p2'])
  })
})

test('the end of a program in the guest is read, and another line is refused', () => {
  const words = Buffer.from('tar: a\u001B]0;x\u0007: Input/output error\n').toString('base64')
  expect(outcomeOf(`done 2 1024 ${words}`)).toEqual({ code: 2, bytes: 1024, words: 'tar: a ]0;x : Input/output error' })
  for (const line of ['done 2', 'done 0 -1 ', 'up', 'done 0 1 a b', `done 0 ${'9'.repeat(20)} `])
    expect(() => outcomeOf(line)).toThrow('protocol')
})

test('the name of a download is one that every system takes', () => {
  expect(filenameOf(Buffer.from('a b"\r\n/\u00E9'), 'x', 'raw')).toBe('a_b_')
  expect(filenameOf(undefined, 'backup-vda1', 'tar')).toBe('backup-vda1.tar')
})
