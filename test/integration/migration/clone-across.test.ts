import { stat } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { cloneJobs } from '#shared/contracts/vm/clone-jobs.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { fresh, type MovingLab, startMoving } from '../../lab/guests/moving.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

describe.skipIf(labHosts.length === 0)('clones on another node', () => {
  let lab: MovingLab
  beforeAll(async () => {
    lab = await startMoving(labHosts)
  })
  afterAll(() => lab?.stop())
  afterEach(() => lab?.clear())

  const words = (vm: string, id: string, how = {}) => ({ vm, id, name: id, target_node: 'hv2', ...how })
  const clone = async (vm: string, id: string, how = {}) =>
    (await done(lab.horcrux, vms, 'cloneCrossNode', words(vm, id, how))) as Vm

  test('a clone has the disks, the firmware and its variables, is a VM of its own, and starts there', async () => {
    const id = fresh('source')
    await lab.make(id, { firmware: 'uefi', tags: ['web'] })
    await lab.write('hv1', `${id}-disk-0.qcow2`, 16)
    await lab.write('hv1', `${id}-disk-1.raw`, 16)
    await done(lab.horcrux, vms, 'start', { id })
    await done(lab.horcrux, vms, 'stop', { id, force: true })
    const copy = fresh('copy')
    const wanted = { source_node: 'hv1', ssh_user: labHosts[1]!.user, start: true }
    const plan = (await lab.horcrux.call(vms, 'cloneCrossNode', words(id, copy, { ...wanted, plan: true }))) as never
    expect(plan).toMatchObject({ is_possible: true, violations: [], source_node: 'hv1', target_node: 'hv2' })
    expect((plan as { bytes_to_copy: number }).bytes_to_copy).toBeGreaterThanOrEqual(32 * 2 ** 20)
    expect(await lab.volumesOf('there')).toEqual([])

    const made = await clone(id, copy, wanted)
    expect(made).toMatchObject({ node: 'hv2', status: 'running', tags: ['web'], firmware: 'uefi' })
    expect(made.disks.map(({ pool, format }) => [pool, format])).toEqual([
      ['there', 'qcow2'],
      ['there', 'raw'],
    ])
    const source = await lab.vm(id)
    expect(source).toMatchObject({ node: 'hv1', status: 'stopped' })
    expect(await lab.domains('hv2')).toEqual([`${copy} running`])
    await done(lab.horcrux, vms, 'stop', { id: copy, force: true })
    for (const name of [`${copy}-disk-0.qcow2`, `${copy}-disk-1.raw`]) {
      expect(await lab.holds('hv2', name, 16)).toBe(true)
      expect((await stat(lab.fileOf('hv2', name))).blocks * 512).toBeLessThan(24 * 2 ** 20)
    }
    const variables = async (node: 'hv1' | 'hv2', vm: string) =>
      /<nvram[^>]*>([^<]*)<\/nvram>/.exec(await lab.virsh(node, 'dumpxml', '--inactive', vm))?.[1]
    expect(await variables('hv2', copy)).toContain(copy)
    expect(await variables('hv1', id)).toContain(id)
  })

  test('a snapshot of a guest that runs is cloned without a pause of it', async () => {
    const id = fresh('snapped')
    await lab.make(id, { firmware: 'uefi' })
    await lab.write('hv1', `${id}-disk-0.qcow2`, 16)
    await lab.write('hv1', `${id}-disk-1.raw`, 16)
    await done(lab.horcrux, vms, 'start', { id })
    const taken = (await done(lab.horcrux, snapshots, 'create', { id, name: 'then' })) as { id: string }
    const run = await lab.virsh('hv1', 'domid', id)
    const copy = fresh('copy')
    const refused = await lab.horcrux
      .call(vms, 'cloneCrossNode', words(id, copy))
      .catch(({ violations }: { violations: object }) => violations)
    expect(refused).toMatchObject([{ field: 'vm', code: 'running' }])
    const made = await clone(id, copy, { snapshot: taken.id, compression_enabled: false })
    expect(made).toMatchObject({ node: 'hv2', status: 'stopped' })
    expect(await lab.virsh('hv1', 'domid', id)).toBe(run)
    for (const disk of made.disks) {
      const name = disk.path!.split('/').at(-1)!
      expect(await lab.holds('hv2', name, 16)).toBe(true)
    }
    await done(lab.horcrux, vms, 'start', { id: copy })
    expect(await lab.domains('hv2')).toEqual([`${copy} running`])
    await done(lab.horcrux, vms, 'stop', { id: copy, force: true })
    await done(lab.horcrux, vms, 'stop', { id, force: true })
  })

  test('everything that keeps a clone from being made is told at once, and nothing is made', async () => {
    const id = fresh('refused')
    await lab.make(id, { start: true })
    const how = { pool: 'nowhere', source_node: 'hv2', ssh_port: 1, mac_addresses: ['52:54:00:00:00:01'] }
    const plan = await lab.horcrux.call(vms, 'cloneCrossNode', { ...words(id, fresh('no'), how), plan: true })
    expect(plan).toMatchObject({ is_possible: false })
    const { violations } = plan as unknown as { violations: { field: string }[] }
    expect(violations.map(({ field }) => field).toSorted()).toEqual(
      ['mac_addresses', 'pool', 'pool', 'source_node', 'ssh_port', 'vm'].toSorted(),
    )
    await expect(lab.horcrux.call(vms, 'cloneCrossNode', words(id, fresh('no'), how))).rejects.toMatchObject({
      error: 'VALIDATION_ERROR',
    })
    expect(await lab.domains('hv2')).toEqual([])
    expect(await lab.volumesOf('there')).toEqual([])
  })

  test('a limit of bandwidth holds a copy back, and a cancelled one leaves nothing', async () => {
    const id = fresh('slow')
    await lab.make(id)
    await lab.write('hv1', `${id}-disk-0.qcow2`, 64)
    const copy = fresh('copy')
    const ended = work(lab.horcrux, vms, 'cloneCrossNode', words(id, copy, { bandwidth_limit_mbps: 8 }))
    const job = async () =>
      (await lab.horcrux.call(cloneJobs, 'list', {})).data.find(({ target_vm_id }) => target_vm_id === copy)
    // 64 MiB at 1 MB/s: it is on its way for a minute.
    await until(async () => ((await job())?.bytes_copied ?? 0) > 0, { what: 'the first bytes' })
    const running = (await job())!
    expect(running).toMatchObject({ source_vm_id: id, mode: 'full', stage: 'cloning_disk', status: 'running' })
    await lab.horcrux.call(cloneJobs, 'cancel', { id: running.id })
    expect((await ended).state).toBe('cancelled')
    expect(await lab.volumesOf('there')).toEqual([])
    expect(await lab.domains('hv2')).toEqual([])
    expect((await localHost().run('ls', [lab.fileOf('hv2', '')])).stdout.trim()).toBe('')
  })
})
