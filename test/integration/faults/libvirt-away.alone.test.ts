import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { StepPlace } from '#shared/operation/observe.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { hasLab, pidOn } from '../../drivers/libvirt/libvirt-lab.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { haveBridge } from '../../lab/hosts/bridges.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const second = 2
const host = labHosts[second - 1]!

describe.skipIf(!hasLab())('while libvirt is away for a moment', () => {
  let horcrux: TestHorcrux
  let goOn = () => {}
  let reached = (_: StepPlace) => {}

  beforeAll(async () => {
    horcrux = await startHorcrux({
      services: [clusterService, storageService, vmService],
      observe: (place) => reached(place),
    })
    await done(horcrux, nodes, 'register', asNode('hv2', host))
    await haveBridge(host, 'lan')
    for (const id of ['changed', 'renamed'])
      await done(horcrux, vms, 'create', { id, name: id, memory: 128, cpus: 1, node: 'hv2' })
  })
  afterEach(() => goOn())
  afterAll(async () => {
    for (const id of ['changed', 'renamed']) await done(horcrux, vms, 'delete', { id })
    await horcrux.stop()
  })

  test('an operation that has done its work waits for the status, and a rename is answered with 503', async () => {
    const pid = await pidOn(second, 'libvirtd')
    goOn = () => void process.kill(pid, 'SIGCONT')
    reached = ({ step, when }) => {
      if (step === 'attaching' && when === 'after') process.kill(pid, 'SIGSTOP')
    }
    const { id } = (await horcrux.call(devices, 'attachNic', { id: 'changed', bridge: 'lan' })) as unknown as {
      id: string
    }
    const statusOf = async (vm: string) => (await horcrux.call(vms, 'get', { id: vm })).status
    await until(async () => (await statusOf('renamed')) === 'unknown', { what: 'the missing answer to be seen' })
    const renaming = horcrux.call(vms, 'update', { id: 'renamed', name: 'other' }, { timeoutMs: 60_000 })
    const refused = await renaming.catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(UnavailableError)
    expect((refused as Error).message).toContain("The status of virtual machine 'renamed' is unknown")
    goOn()
    const { state, result, error } = await horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
    expect([state, error]).toEqual(['succeeded', null])
    expect((result as Vm).status).toBe('stopped')
    expect((result as Vm).nics).toHaveLength(1)
  })
})
