import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { countingGuest } from '../../lab/guests/counting-guest.ts'
import { fresh, GiB, type MovingLab, startMoving } from '../../lab/guests/moving.ts'
import type { LabHost } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { commandLine, processesWith } from '../../lab/hosts/processes.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const machine = localHost()

describe.skipIf(labHosts.length === 0)('post-copy', () => {
  const [source, target] = labHosts as [LabHost, LabHost]
  let lab: MovingLab
  beforeAll(async () => {
    lab = await startMoving(labHosts)
  })
  afterAll(() => lab?.stop())

  /** Cuts the two hosts off from each other; Horcrux reaches both. @returns a function that ends that */
  async function cut(): Promise<() => Promise<unknown>> {
    const nft = (...words: string[]) => machine.runChecked('ip', ['netns', 'exec', source.netns, 'nft', ...words])
    await nft('add', 'table', 'inet', 'cut')
    for (const [hook, end] of [
      ['input', 'saddr'],
      ['output', 'daddr'],
    ] as const) {
      await nft('add', 'chain', 'inet', 'cut', hook, `{ type filter hook ${hook} priority 0; }`)
      await nft('add', 'rule', 'inet', 'cut', hook, 'ip', end, target.address, 'drop')
    }
    return () => nft('delete', 'table', 'inet', 'cut')
  }

  const emulators = (uuid: string) =>
    processesWith(`-uuid ${uuid}`).filter((pid) => /^\S*qemu-system/.test(commandLine(pid)))

  /** The counts that a guest has told at a node. */
  async function counts(host: LabHost, id: string): Promise<number[]> {
    const text = await readFile(join(host.stateDir, 'serial', `${id}.log`), 'utf8').catch(() => '')
    return [...text.matchAll(/^[0-9a-f]{8}\r?$/gm)].map(([digits]) => parseInt(digits, 16))
  }

  test('a guest that writes too fast goes over to post-copy, and a cut of the network stops it only for as long, also when its operation is handed over', async () => {
    const id = fresh('post')
    const folder = join(inject('run').dir, id)
    await mkdir(folder)
    for (const node of ['hv1', 'hv2'])
      await lab.horcrux.call(nodes, 'update', { id: node, allowed_paths: ['/var/lib/libvirt/images', folder] })
    const path = join(folder, 'pool')
    await lab.horcrux.call(pools, 'create', { id, type: 'dir', node: 'hv1', shared_with: ['hv2'], path })
    let heal: (() => Promise<unknown>) | undefined
    try {
      await lab.make(id, { disks: [{ pool: id, size: GiB, format: 'raw', cache: 'none' }] })
      const disk = await open(join(path, `${id}-disk-0.raw`), 'r+')
      await disk.write(countingGuest(4096), 0, 512, 0)
      await disk.close()
      await done(lab.horcrux, vms, 'start', { id })
      const uuid = (await lab.virsh('hv1', 'domuuid', id)).trim()
      await until(async () => (await counts(source, id)).length > 0, { what: 'the first count', timeoutMs: 60_000 })

      const wish = { vm_id: id, target_node: 'hv2', bandwidth_limit: 4, auto_converge: false } as const
      const how = { ...wish, post_copy: 'when_not_converging' } as const
      const { id: operation } = await lab.horcrux.call(migrations, 'start', how, { timeoutMs: 60_000 })
      const state = (node: 'hv1' | 'hv2') => lab.virsh(node, 'domstate', '--reason', id)
      await until(async () => /post-copy/.test(await state('hv1')), { what: 'post-copy', timeoutMs: 180_000 })
      heal = await cut()
      await until(async () => /post-copy failed/.test(await state('hv1')), {
        what: 'the interruption',
        timeoutMs: 60_000,
      })
      // Neither side is cleared, and the move cannot be taken back.
      expect(emulators(uuid)).toHaveLength(2)
      await expect(lab.horcrux.call(migrations, 'cancel', { id: operation })).rejects.toThrow('post-copy')
      expect((await lab.horcrux.call(operations, 'get', { id: operation })).state).toBe('running')
      const before = await counts(source, id)
      await lab.takeOver()
      await heal()
      heal = undefined

      const status = async () => (await lab.migration(id)).status
      await until(async () => (await status()) === 'completed', { what: 'the end of the move', timeoutMs: 120_000 })
      expect(await lab.vm(id)).toMatchObject({ node: 'hv2', status: 'running' })
      expect(await lab.migration(id)).toMatchObject({
        post_copy: 'when_not_converging',
        statistics: { post_copy_at: expect.any(String) },
        error: null,
        rollback: null,
      })
      expect(await lab.domains('hv1')).toEqual([])
      expect(emulators(uuid)).toHaveLength(1)
      // One guest after the other: the target counts on from where the source has stopped, by ones.
      const arrived = (await counts(target, id)).length
      await until(async () => (await counts(target, id)).length > arrived + 10, { what: 'counts at the target' })
      const after = await counts(target, id)
      expect(after[0]! - before.at(-1)!).toBeLessThanOrEqual(2)
      expect(after.every((count, index) => index === 0 || count === after[index - 1]! + 1)).toBe(true)
      await lab.clear()
      await lab.horcrux.call(pools, 'delete', { id })
    } finally {
      await heal?.()
      await rm(folder, { recursive: true, force: true })
    }
  })
})
