import { expect } from 'vitest'
import { cloneJobs } from '#shared/contracts/vm/clone-jobs.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import type { Operation } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { templates } from '#shared/contracts/vm/templates.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ValidationError } from '#shared/errors.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { haveBridge } from '../hosts/bridges.ts'
import { imagesOf } from './disks.ts'
import { startHorcrux } from '../product/horcrux.ts'
import { asNode, clear } from '../faults/scenarios.ts'
import { done } from '../product/run-operation.ts'
import { leftovers, readWorld } from '../faults/world.ts'
import { labHosts } from '../hosts/lab.ts'

const GiB = 2 ** 30

/** Horcrux with one lab host and the storage pool `images`, and the common steps of tests of clones. */
export async function startCloneLab() {
  const [lab] = labHosts
  const horcrux = await startHorcrux({ services: [clusterService, storageService, vmService], works: false })
  let atWork = horcrux.work()
  await done(horcrux, nodes, 'register', asNode('hv1', lab!))
  await horcrux.call(pools, 'create', { id: 'images', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/pool' })
  const images = imagesOf(lab!)
  for (const bridge of ['lan', 'dmz', 'br0']) await haveBridge(lab!, bridge)
  const twoDisks = [
    { pool: 'images', size: GiB },
    { pool: 'images', size: GiB, format: 'raw' },
  ]
  return {
    lab: lab!,
    horcrux,
    images,
    world: () => readWorld(horcrux, lab!),
    leftovers,
    clear: () => clear(horcrux),
    stop: async () => {
      await atWork()
      await horcrux.stop()
    },
    /** Hands over all operations, and begins to work on them again, as the process that takes over. */
    takeOver: async () => {
      await atWork()
      atWork = horcrux.work()
    },
    /** A guest that is off, with a qcow2 and a raw disk that have data of their own. */
    makeSource: async (id: string, more: object = {}): Promise<Vm> => {
      const given = { id, name: id, memory: 128, cpus: 1, node: 'hv1', disks: twoDisks, ...more }
      const vm = (await done(horcrux, vms, 'create', given)) as Vm
      await images.write(`${id}-disk-0.qcow2`, 0xa1, 0, 16)
      await images.write(`${id}-disk-1.raw`, 0xb2, 100, 16)
      return vm
    },
    makeTemplate: (vm_id: string) => done(horcrux, templates, 'create', { vm_id }),
    clone: async (vm: string, id: string, more: object = {}) =>
      (await done(horcrux, vms, 'clone', { vm, id, name: id, mode: 'full', ...more })) as Vm,
    deploy: async (template: string, id: string, more: object = {}) =>
      (await done(horcrux, templates, 'deploy', { template, id, name: id, ...more })) as Vm,
    jobOf: ({ id }: Pick<Operation, 'id'>) => horcrux.call(cloneJobs, 'get', { id }),
  }
}
export type CloneLab = Awaited<ReturnType<typeof startCloneLab>>

/** The error that a promise is rejected with, checked to be of the expected class. */
export async function refusal<E extends Error>(work: Promise<unknown>, kind: new (...given: never[]) => E): Promise<E> {
  const error = await work.then(
    (value) => new Error(`not refused: ${JSON.stringify(value)}`),
    (reason: unknown) => reason as Error,
  )
  expect(error).toBeInstanceOf(kind)
  return error as E
}

/** The fields that a request is refused for. */
export const wrongFields = async (work: Promise<unknown>) =>
  (await refusal(work, ValidationError)).violations.map(({ field }) => field).toSorted()
