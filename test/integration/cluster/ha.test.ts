import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { ha, haResources, type HaStatus } from '#shared/contracts/cluster/ha.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { rehearsals } from '#shared/contracts/cluster/rehearsals.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import { leasePrefix } from '#shared/contracts/vm/fencing.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { fresh, type MovingLab, startMoving } from '../../lab/guests/moving.ts'
import { changeBootId } from '../../lab/hosts/boot-id.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { takeStorage } from '../../lab/hosts/storage.ts'
import { processesWith } from '../../lab/hosts/processes.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const machine = localHost()
const link = (index: number, state: 'up' | 'down') =>
  machine.runChecked('ip', ['link', 'set', labHosts[index]!.link, state])

describe.skipIf(labHosts.length === 0)('a VM under HA', () => {
  let lab: MovingLab
  const folder = join(inject('run').dir, fresh('shared'))
  beforeAll(async () => {
    lab = await startMoving(labHosts)
    await mkdir(folder)
    // Both hosts see this machine's file system beside their own folders.
    for (const id of ['hv1', 'hv2'])
      await lab.horcrux.call(nodes, 'update', { id, allowed_paths: ['/var/lib/libvirt/images', folder] })
    // Guests of this machine are none of the test's business.
    await lab.horcrux.call(nodes, 'update', { id: 'local', maintenance: true })
    await lab.horcrux.call(pools, 'create', {
      id: 'shared',
      type: 'dir',
      node: 'hv1',
      shared_with: ['hv2'],
      path: join(folder, 'pool'),
    })
  })
  afterAll(async () => {
    await lab?.stop()
    await rm(folder, { recursive: true, force: true })
  })
  /** Gives storage back that a test has taken away. */
  let giveBackAll: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const giveBack of giveBackAll) await giveBack()
    giveBackAll = []
    for (const index of [0, 1]) await link(index, 'up')
    await until(async () => (await status()).nodes.every(({ state }) => state === 'online'), {
      what: 'both nodes answering',
    })
    for (const { id } of (await lab.horcrux.call(haResources, 'list', {})).data)
      await until(
        () =>
          lab.horcrux.call(haResources, 'delete', { id }).then(
            () => true,
            () => false,
          ),
        {
          what: 'the VM being out of HA',
        },
      )
    await lab.clear()
  })

  const status = (): Promise<HaStatus> => lab.horcrux.call(ha, 'status', {})
  const decisionOf = async (id: string) => (await status()).resources.find((each) => each.id === id)!

  /** A running guest under HA on hv1, its disk on storage that both hosts reach. */
  async function protectedGuest() {
    const id = fresh('ha')
    await lab.make(id, { disks: [{ pool: 'shared', size: 2 ** 30 }], start: true })
    await lab.horcrux.call(haResources, 'create', { id }, { timeoutMs: 60_000 })
    const uuid = (await lab.virsh('hv1', 'domuuid', id)).trim()
    /** The processes of the guest, on whichever host: the hosts are namespaces of this machine. */
    const processes = () => processesWith(`-uuid ${uuid}`)
    return { id, uuid, processes }
  }

  /** The newest failover, once it has ended: its guest is seen to run a moment before. */
  async function endedFailover() {
    const newest = async () =>
      (await lab.horcrux.call(operations, 'list', { filter: 'kind:ha-resources.failover' })).data[0]
    await until(async () => !['queued', 'running'].includes((await newest())?.state ?? 'queued'), {
      what: 'the end of the failover',
    })
    return newest()
  }

  /** Waits, and fails when two processes of the guest are seen at one moment. */
  const untilWithOneCopy = (processes: () => number[], check: () => Promise<boolean>, what: string) =>
    until(
      async () => {
        expect(processes().length).toBeLessThanOrEqual(1)
        return check()
      },
      { what, timeoutMs: 120_000 },
    )

  test('whose node is cut off runs once elsewhere, after its guard has ended it; a node that returns loses its old copy', async () => {
    const { id, processes } = await protectedGuest()
    expect(await decisionOf(id)).toMatchObject({ kind: 'nothing', is_guarded: true, epoch: 1 })
    const [before] = processes()
    // The rehearsal on the live inventory foretells what happens then, and touches nothing.
    const cut = { kind: 'node_cut' as const, node: 'hv1', at_seconds: 0, storage: false }
    const foretold = await lab.horcrux.call(rehearsals, 'rehearse', { events: [cut] }, { timeoutMs: 30_000 })
    expect(foretold).toMatchObject({ broken: [], counts: { restarted: 1 } })
    expect(foretold.vms).toMatchObject([{ id, outcome: 'restarted', from: 'hv1', to: 'hv2' }])
    const alone = { kind: 'node_fails' as const, node: 'hv2', at_seconds: 300 }
    const worse = await lab.horcrux.call(rehearsals, 'rehearse', { events: [cut, alone] }, { timeoutMs: 30_000 })
    expect(worse.vms).toMatchObject([{ id, to: null, reason: expect.any(String) }])
    expect(processes()).toEqual([before])
    await expect(
      lab.horcrux.call(rehearsals, 'rehearse', { events: [{ ...cut, node: 'nowhere' }] }),
    ).rejects.toMatchObject({ violations: [{ field: 'events.0.node' }] })
    await link(0, 'down')
    await untilWithOneCopy(processes, async () => (await lab.vm(id)).node === 'hv2', 'the failover')
    await untilWithOneCopy(processes, async () => (await lab.vm(id)).status === 'running', 'the guest on hv2')
    expect(await lab.domains('hv2')).toEqual([`${id} running`])
    expect(processes()).toHaveLength(1)
    expect(processes()).not.toContain(before)
    const operation = await endedFailover()
    expect(operation).toMatchObject({
      state: 'succeeded',
      result: {
        vm_id: id,
        from: 'hv1',
        to: 'hv2',
        proof: 'guard',
        epoch: 2,
        inputs: expect.arrayContaining(['hv1 lost']),
      },
    })
    expect((await decisionOf(id)).old_nodes).toEqual(['hv1'])

    await link(0, 'up')
    await untilWithOneCopy(
      processes,
      async () => (await decisionOf(id)).old_nodes.length === 0,
      'the old copy being gone',
    )
    expect(await lab.domains('hv1')).toEqual([])
    expect(await lab.domains('hv2')).toEqual([`${id} running`])
    expect(await lab.vm(id)).toMatchObject({ node: 'hv2', status: 'running' })
  })

  test('whose node has lost its power and is back before a check noticed it starts there again', async () => {
    const { id, uuid, processes } = await protectedGuest()
    const before = processes()
    const restoreBootId = await changeBootId(labHosts[0]!)
    onTestFinished(restoreBootId)
    for (const pid of [...before, ...processesWith(`/run/horcrux-guards/${uuid}/guard`)]) process.kill(pid, 'SIGKILL')
    const runsAgain = async () => {
      const found = processes()
      return found.length === 1 && found[0] !== before[0] && (await lab.vm(id)).status === 'running'
    }
    await untilWithOneCopy(processes, runsAgain, 'the guest running again')
    expect(await decisionOf(id)).toMatchObject({ node: 'hv1', epoch: 2 })
    const operation = await endedFailover()
    expect(operation).toMatchObject({ result: { vm_id: id, from: 'hv1', to: 'hv1', proof: 'node' } })
    expect(await lab.domains('hv2')).toEqual([])
  })

  test('that its guard has ended, since its storage did not answer on a node that did, starts there again when it does, else elsewhere', async () => {
    const { id, processes } = await protectedGuest()
    const take = async (index: number) => {
      const giveBack = await takeStorage(labHosts[index]!, join(folder, 'pool'), `${leasePrefix}${id}`)
      giveBackAll.push(giveBack)
      return giveBack
    }
    const before = processes()
    const giveBack = [await take(0), await take(1)] as const
    await untilWithOneCopy(
      processes,
      async () => /does not yet; .*'hv2' does not reach its storage/.test((await decisionOf(id)).reason),
      'the guest waiting for its storage on either node',
    )
    expect(processes()).toEqual([])
    expect(await decisionOf(id)).toMatchObject({ kind: 'wait', epoch: 1, node: 'hv1' })
    await giveBack[0]()
    await untilWithOneCopy(processes, async () => (await decisionOf(id)).status === 'running', 'the guest on its node')
    expect(processes()).not.toEqual(before)
    expect(await decisionOf(id)).toMatchObject({ node: 'hv1', epoch: 2, is_guarded: true })
    expect(await endedFailover()).toMatchObject({
      state: 'succeeded',
      result: {
        from: 'hv1',
        to: 'hv1',
        proof: 'node',
        reason: expect.stringContaining('its guard'),
        inputs: ['hv1 online', 'hv2 online', 'local online', 'ended by its guard on hv1, storage back there'],
      },
    })
    // Its restarts are used up now: it is started on the other node, whose storage answers again.
    await giveBack[1]()
    const giveBackAgain = await take(0)
    await untilWithOneCopy(processes, async () => (await lab.vm(id)).node === 'hv2', 'the start on the other node')
    await untilWithOneCopy(processes, async () => (await lab.vm(id)).status === 'running', 'the guest on hv2')
    expect(await endedFailover()).toMatchObject({ result: { from: 'hv1', to: 'hv2', proof: 'node', epoch: 3 } })
    expect(await lab.domains('hv2')).toEqual([`${id} running`])
    await giveBackAgain()
  })

  test('is refused with everything at once that lies on its node alone', async () => {
    const id = fresh('bound')
    await lab.make(id, { disks: [{ pool: 'here', size: 2 ** 30 }], firmware: 'uefi', autostart: true })
    await done(lab.horcrux, cloudinit, 'set', { id, hostname: 'bound' })
    await done(lab.horcrux, snapshots, 'create', { id, name: 'before' })
    await expect(lab.horcrux.call(haResources, 'create', { id }, { timeoutMs: 60_000 })).rejects.toMatchObject({
      violations: expect.arrayContaining(
        ['autostart', 'uefi', 'seed', 'not_shared', 'snapshots'].map((code) => expect.objectContaining({ code })),
      ),
    })
    expect((await lab.horcrux.call(haResources, 'list', {})).data).toEqual([])
  })

  test('is left alone while Horcrux itself is cut off from all nodes', async () => {
    const { id, processes } = await protectedGuest()
    const before = processes()
    for (const index of [0, 1]) await link(index, 'down')
    await until(
      async () => {
        const { state, nodes: seen } = await status()
        return state === 'isolated' && seen.filter(({ state: each }) => each === 'lost').length === 2
      },
      { what: 'both nodes being lost', timeoutMs: 90_000 },
    )
    expect(await decisionOf(id)).toMatchObject({ kind: 'wait', epoch: 1 })
    for (const index of [0, 1]) await link(index, 'up')
    await until(async () => (await decisionOf(id)).kind === 'nothing', {
      what: 'the guest being seen as running',
      timeoutMs: 90_000,
    })
    expect(processes()).toEqual(before)
    expect(await decisionOf(id)).toMatchObject({ node: 'hv1', status: 'running', epoch: 1 })
  })
})
