import { expect, test } from 'vitest'
import { ceph, spaceIn } from '../../../services/storage/drivers/ceph/ceph.ts'
import { sourceOf, toolFileOf } from '../../../services/storage/drivers/ceph/images.ts'
import { clientFile } from '../../../services/storage/drivers/ceph/rbd.ts'

const config = {
  nodes: null,
  monitors: ['10.0.0.1', '10.0.0.2:6789', '[fd00::3]:3300', '[fd00::4]'],
  pool: 'vms',
  user: 'horcrux',
  libvirt_uuid: '0198d1c5-7b1e-4000-8000-000000000001',
  key: 'AQBfkQxrpN9eMRAArdlD2/iT6+D+KCdWpJ2wsA==',
}

test('an RBD image is named with its servers and the id of its secret, and without the secret', () => {
  const source = sourceOf(config, 'web')
  expect(source).toEqual({
    type: 'network',
    protocol: 'rbd',
    name: 'vms/web',
    servers: [
      { host: '10.0.0.1' },
      { host: '10.0.0.2', port: 6789 },
      { host: 'fd00::3', port: 3300 },
      { host: 'fd00::4' },
    ],
    secret: { username: 'horcrux', usage: 'ceph', uuid: config.libvirt_uuid },
  })
  const { path, secret } = toolFileOf(config, 'web', '/dev/fd/3')
  expect(path).not.toContain(config.key)
  expect(path).toContain('/dev/fd/3')
  expect(secret).toBe(clientFile(config))
  expect(secret).toContain(`key = ${config.key}`)
})

test('two requests of one Ceph pool have one place, in whatever order the monitors are', () => {
  expect(ceph.placeOf(config)).toBe(ceph.placeOf({ ...config, monitors: config.monitors.toReversed() }))
  expect(ceph.placeOf(config)).not.toBe(ceph.placeOf({ ...config, pool: 'other' }))
})

test('the space of a Ceph pool is null when the manager of the cluster has counted nothing', () => {
  // From Ceph 16.2, with a manager and without.
  const pools = [{ name: 'vms', id: 2, stats: { stored: 1000, objects: 3, bytes_used: 3000, max_avail: 5000 } }]
  expect(spaceIn({ pools }, 'vms')).toEqual({ stored_bytes: 1000, capacity_bytes: 6000, available_bytes: 5000 })
  expect(spaceIn({ pools: [] }, 'vms')).toBeNull()
  expect(spaceIn({ pools }, 'other')).toBeNull()
})
