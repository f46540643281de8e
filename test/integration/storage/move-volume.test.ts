import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { imagesOf } from '../../lab/guests/disks.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done } from '../../lab/product/run-operation.ts'

const GiB = 2 ** 30
const [host] = labHosts
const images = imagesOf(host!)
let horcrux: TestHorcrux

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService, vmService] })
  await done(horcrux, nodes, 'register', asNode('hv1', host!))
  await horcrux.call(pools, 'create', { id: 'images', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/pool' })
})
afterAll(() => horcrux?.stop())

test('a free volume moves to another storage pool and format with its content, and the source goes', async () => {
  const [pool, name] = [`second-${Date.now()}`, `moving-${Date.now()}`]
  await horcrux.call(pools, 'create', { id: pool, type: 'dir', node: 'hv1', path: `/var/lib/libvirt/images/${pool}` })
  await done(horcrux, volumes, 'create', { id: 'images', name, size: GiB, format: 'qcow2' })
  await images.write(`${name}.qcow2`, 0xa1, 700, 2)
  await done(horcrux, volumes, 'clone', { id: 'images', volume: name, name: `${name}-clone`, mode: 'linked' })
  const asked = { id: 'images', volume: name, pool, format: 'raw' } as const
  await expect(horcrux.call(volumes, 'move', asked)).rejects.toThrow(/linked clone/)
  await done(horcrux, volumes, 'delete', { id: 'images', volume: `${name}-clone` })

  const moved = await done(horcrux, volumes, 'move', asked)
  expect(moved).toMatchObject({ pool, name, format: 'raw', size_bytes: GiB, used_by: null })
  await expect(horcrux.call(volumes, 'get', { id: 'images', volume: name })).rejects.toBeInstanceOf(NotFoundError)
  expect(await images.files()).not.toContain(`${name}.qcow2`)
  const file = `/var/lib/libvirt/images/${pool}/${name}.raw`
  const read = ['-r', '-f', 'raw', '-c', `read -P 161 ${700 * 2 ** 20} ${2 * 2 ** 20}`, file]
  expect((await images.host.run('qemu-io', read)).code).toBe(0)
  // Back under another name, which is taken at first.
  const back = { id: pool, volume: name, pool: 'images', name: `${name}-back` }
  await done(horcrux, volumes, 'create', { id: 'images', name: back.name, size: GiB })
  await expect(horcrux.call(volumes, 'move', back)).rejects.toBeInstanceOf(ConflictError)
  await done(horcrux, volumes, 'delete', { id: 'images', volume: back.name })
  await done(horcrux, volumes, 'move', back)
  await done(horcrux, volumes, 'delete', { id: 'images', volume: back.name })
  await horcrux.call(pools, 'delete', { id: pool })
})
