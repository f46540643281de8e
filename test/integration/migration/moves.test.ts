import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { fresh, GiB, type MovingLab, startMoving } from '../../lab/guests/moving.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

describe.skipIf(labHosts.length === 0)('migrations between two nodes', () => {
  let lab: MovingLab
  beforeAll(async () => {
    lab = await startMoving(labHosts)
  })
  afterAll(() => lab?.stop())
  afterEach(() => lab?.clear())

  const move = (vm_id: string, migration_type: string, how = {}) =>
    done(lab.horcrux, migrations, 'start', { vm_id, target_node: 'hv2', migration_type, ...how })

  test('a guest that runs moves with its disks, which stay sparse, and leaves nothing behind', async () => {
    const id = fresh('live')
    await lab.make(id)
    await lab.write('hv1', `${id}-disk-0.qcow2`, 16)
    await lab.write('hv1', `${id}-disk-1.raw`, 16)
    await done(lab.horcrux, vms, 'start', { id })
    const words = { vm_id: id, target_node: 'hv2', bandwidth_limit: 50 }
    // A sample that takes too long on a busy machine leaves the plan without a forecast.
    const foreseen = await until(
      async () => (await lab.horcrux.call(migrations, 'check', words, { timeoutMs: 60_000 })).forecast,
      { what: 'a forecast' },
    )
    expect(foreseen).toMatchObject({
      convergence: 'yes',
      bandwidth_mib_s: 50,
      dirty_bytes_per_second: expect.any(Number),
    })
    // Both disks, to the byte.
    expect(foreseen.points.bytes).toBeGreaterThan(2 * GiB)
    await move(id, 'live')

    const moved = await lab.vm(id)
    expect(moved).toMatchObject({ node: 'hv2', status: 'running' })
    expect(moved.disks.map(({ pool }) => pool)).toEqual(['there', 'there'])
    expect(await lab.domains('hv1')).toEqual([])
    expect(await lab.domains('hv2')).toEqual([`${id} running`])
    expect(await lab.volumesOf('here')).toEqual([])
    const ends = { vm_id: id, source_node: 'hv1', target_node: 'hv2' }
    const { id: migration_id, health, ...ended } = await lab.migration(id)
    expect(ended).toMatchObject({ status: 'completed', ...ends })
    expect(health?.checks.map(({ name, status }) => `${name} ${status}`)).toEqual([
      'vm_running passed',
      'qemu_responsive passed',
      'memory_allocation passed',
      'cpu_availability passed',
      'disk_io passed',
      'network_connectivity skipped',
      'guest_agent_responsive skipped',
    ])
    expect(health).toMatchObject({ status: 'passed', consequence: 'none' })
    expect(ended.forecast).toMatchObject({ convergence: 'yes', bandwidth_mib_s: 100 })
    const { forecasts } = await lab.horcrux.call(migrations, 'statistics', {})
    expect(forecasts.compared).toBe(1)
    await until(async () => (await lab.events('MigrationCompleted', id)).length > 0, { what: 'the event of the end' })
    const told = { migration_id, ...ends, timestamp: expect.any(String) }
    expect(await lab.events('MigrationStarted', id)).toEqual([told])
    const { measured_ms, allowed_ms, is_exceeded } = ended.pause!
    expect([measured_ms, allowed_ms]).toEqual([ended.statistics!.downtime_ms, 300])
    expect(is_exceeded).toBe(measured_ms > allowed_ms)
    const pause = { pause_ms: measured_ms, is_pause_exceeded: is_exceeded }
    expect(await lab.events('MigrationCompleted', id)).toEqual([{ ...told, ...pause }])
    for (const name of [`${id}-disk-0.qcow2`, `${id}-disk-1.raw`]) {
      expect(await lab.holds('hv2', name, 16)).toBe(true)
      expect((await stat(lab.fileOf('hv2', name))).blocks * 512).toBeLessThan(24 * 2 ** 20)
    }
    // It is a VM like any other there.
    await done(lab.horcrux, vms, 'restart', { id, timeout: 1, force: true })
    await move(id, 'live', { target_node: 'hv1' })
    expect(await lab.vm(id)).toMatchObject({ node: 'hv1', status: 'running' })
  })

  test('a guest on storage that both nodes reach moves live, and none of its disks is copied', async () => {
    const id = fresh('shared')
    const folder = join(inject('run').dir, id)
    await mkdir(folder)
    // Both hosts see this machine's file system beside their own folders.
    for (const node of ['hv1', 'hv2'])
      await lab.horcrux.call(nodes, 'update', { id: node, allowed_paths: ['/var/lib/libvirt/images', folder] })
    const pool = { id, type: 'dir', node: 'hv1', shared_with: ['hv2'], path: join(folder, 'pool') } as const
    await lab.horcrux.call(pools, 'create', pool)
    try {
      // What one node has in its cache, the other one would not see.
      await lab.make(id, { disks: [{ pool: id, size: GiB, cache: 'none' }], start: true })
      const before = await lab.vm(id)
      const plan = { vm_id: id, target_node: 'hv2', migration_type: 'live' } as const
      expect(await lab.horcrux.call(migrations, 'check', plan, { timeoutMs: 60_000 })).toMatchObject({
        violations: [],
        bytes_to_copy: 0,
        disks: [{ id: 'vda', source_pool: id, pool: id, is_copied: false }],
      })
      await move(id, 'live')
      expect(await lab.vm(id)).toMatchObject({ node: 'hv2', status: 'running', disks: before.disks })
      expect(await lab.domains('hv1')).toEqual([])
      expect(await lab.domains('hv2')).toEqual([`${id} running`])
      expect((await lab.migration(id)).statistics).toMatchObject({ disk_total_bytes: 0, disk_transferred_bytes: 0 })
      expect(await lab.volumesOf(id)).toEqual([`${id}-disk-0`])
      const images = (await readdir(pool.path)).filter((name) => name.endsWith('.qcow2'))
      expect(images).toEqual([`${id}-disk-0.qcow2`])
    } finally {
      await lab.clear()
      await lab.horcrux.call(pools, 'delete', { id })
      await rm(folder, { recursive: true, force: true })
    }
  })

  test('a paused guest stays paused', async () => {
    const id = fresh('paused')
    await lab.make(id, { start: true })
    await done(lab.horcrux, vms, 'pause', { id })
    await move(id, 'live')
    expect(await lab.vm(id)).toMatchObject({ node: 'hv2', status: 'paused' })
    await done(lab.horcrux, vms, 'resume', { id })
    expect(await lab.domains('hv2')).toEqual([`${id} running`])
  })

  test('an offline move stops a guest, copies its disks, seed and UEFI variables, and starts it', async () => {
    const id = fresh('off')
    await lab.make(id, { firmware: 'uefi' })
    await done(lab.horcrux, cloudinit, 'set', { id, hostname: 'off' })
    await lab.write('hv1', `${id}-disk-0.qcow2`, 16)
    await done(lab.horcrux, vms, 'start', { id })
    await done(lab.horcrux, vms, 'stop', { id, force: true })
    await move(id, 'offline')
    expect(await lab.vm(id)).toMatchObject({ node: 'hv2', status: 'stopped' })
    expect(await lab.holds('hv2', `${id}-disk-0.qcow2`, 16)).toBe(true)
    await done(lab.horcrux, vms, 'start', { id })
    await move(id, 'offline', { target_node: 'hv1', shutdown_timeout: 1 })
    expect(await lab.vm(id)).toMatchObject({ node: 'hv1', status: 'running' })
    expect(await lab.domains('hv2')).toEqual([])
    expect(await lab.volumesOf('there')).toEqual([])
  })

  test('a cancelled move leaves the guest as it was, and nothing on the target', async () => {
    const id = fresh('cancel')
    await lab.make(id, { start: true })
    const run = await lab.virsh('hv1', 'domid', id)
    const ended = work(lab.horcrux, migrations, 'start', {
      vm_id: id,
      target_node: 'hv2',
      migration_type: 'live',
      bandwidth_limit: 1,
    })
    await until(async () => (await lab.migration(id)).status === 'transferring', { what: 'the transfer' })
    await until(async () => (await lab.domains('hv2')).length > 0, { what: 'the guest that comes' })
    await until(async () => (await lab.events('MigrationProgress', id)).length > 0, { what: 'an event of progress' })
    const { id: migration_id } = await lab.migration(id)
    await lab.horcrux.call(migrations, 'cancel', { id: migration_id })
    expect((await ended).state).toBe('cancelled')
    expect(await lab.vm(id)).toMatchObject({ node: 'hv1', status: 'running' })
    expect(await lab.virsh('hv1', 'domid', id)).toBe(run)
    expect(await lab.domains('hv2')).toEqual([])
    expect(await lab.volumesOf('there')).toEqual([])
    const { status, rollback } = await lab.migration(id)
    expect([status, rollback?.state, rollback?.steps.length]).toEqual(['cancelled', 'completed', 6])
    const total_bytes = expect.any(Number)
    const told = { vm_id: id, progress: expect.any(Number), transferred_bytes: total_bytes, total_bytes }
    expect((await lab.events('MigrationProgress', id))[0]).toEqual({ ...told, timestamp: expect.any(String) })
    await until(async () => (await lab.events('MigrationFailed', id)).length > 0, { what: 'the event of the end' })
    const failed = { migration_id, vm_id: id, outcome: 'cancelled', error: null, timestamp: expect.any(String) }
    expect(await lab.events('MigrationFailed', id)).toEqual([failed])
  })

  test('everything that keeps a guest from moving is told at once, before anything moves', async () => {
    const id = fresh('refused')
    // Nothing but the firmware runs, so that little of this memory is used.
    const memory = Math.floor((totalmem() / 2 ** 20 / 128) * 0.99) * 128
    await lab.make(id, { start: true, memory })
    const wanted = { vm_id: id, target_node: 'hv2', migration_type: 'live', target_pool: 'nowhere' } as const
    const found = await lab.horcrux.call(migrations, 'check', wanted)
    expect(found.is_possible).toBe(false)
    expect(found.violations.map(({ code }) => code)).toEqual(expect.arrayContaining(['no_pool', 'memory']))
    await expect(lab.horcrux.call(migrations, 'start', wanted)).rejects.toMatchObject({ error: 'VALIDATION_ERROR' })
    expect(await lab.domains('hv2')).toEqual([])
  })
})
