import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodePath, mountedAt, mountOf, mountsIn } from '#shared/nodes/host/mount-table.ts'

const table = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /srv/a\\040b rw,nosuid shared:7 master:2 - nfs4 10.0.0.7:/vms rw,vers=4.2
31 22 0:27 / /srv rw - tmpfs tmpfs rw
32 31 0:28 / /srv/pool rw - nfs4 10.0.0.7:/old rw
33 32 0:29 / /srv/pool rw - cifs //nas/vms rw
`

describe('the table of mounted file systems', () => {
  const mounts = mountsIn(table)

  test('is read with escapes and optional fields', () => {
    expect(mounts[1]).toEqual({
      path: '/srv/a b',
      root: '/',
      type: 'nfs4',
      source: '10.0.0.7:/vms',
      options: ['rw', 'vers=4.2'],
    })
    expect(mounts).toHaveLength(5)
  })

  test('tells the topmost file system at a path, and the one in which a path is', () => {
    expect(mountedAt(mounts, '/srv/pool')?.source).toBe('//nas/vms')
    expect(mountedAt(mounts, '/srv/poo')).toBeUndefined()
    expect(mountOf(mounts, '/srv/pool/disk.raw')?.source).toBe('//nas/vms')
    expect(mountOf(mounts, '/srv/poolside/disk.raw')?.type).toBe('tmpfs')
    expect(mountOf(mounts, '/var/disk.raw')?.type).toBe('ext4')
  })

  test('has any path as it is encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (name) => {
        const path = `/${name.replaceAll(/[\0/]/g, '')}`
        const line = `30 22 0:26 / ${encodePath(path)} rw - ext4 /dev/vda rw`
        expect(mountsIn(line)[0]?.path).toBe(path)
      }),
    )
  })
})
