import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { drains, type DrainPlan } from '#shared/contracts/cluster/drains.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { operations, type Operation } from '#shared/contracts/core/operations.ts'
import { placementRules } from '#shared/contracts/cluster/placement.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { fresh, type MovingLab, startMoving } from '../../lab/guests/moving.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

describe.skipIf(labHosts.length === 0)('the drain of a node', () => {
  let lab: MovingLab
  beforeAll(async () => {
    lab = await startMoving(labHosts)
    // Guests of this machine are none of the test's business.
    await lab.horcrux.call(nodes, 'update', { id: 'local', maintenance: true })
  })
  afterAll(() => lab?.stop())
  afterEach(async () => {
    for (const id of ['hv1', 'hv2']) await lab?.horcrux.call(nodes, 'update', { id, maintenance: false })
    await lab?.clear()
  })

  const isMaintained = async () => (await lab.horcrux.call(nodes, 'get', { id: 'hv1' })).maintenance
  const placesOf = async (ids: string[]) =>
    Promise.all(
      ids.map(async (id) => {
        const { node, status } = await lab.vm(id)
        return `${node} ${status}`
      }),
    )

  test('moves its running guests by the plan that was shown, and a restore brings them home', async () => {
    const [one, two, off] = [fresh('one'), fresh('two'), fresh('off')]
    for (const id of [one, two]) await lab.make(id, { disks: [], start: true })
    await lab.make(off, { disks: [] })
    const plan = (await lab.horcrux.call(drains, 'drain', { id: 'hv1', plan: true })) as unknown as DrainPlan
    expect(plan).toMatchObject({ status: 'possible', stays: [{ vm_id: off }] })
    expect(plan.moves.map(({ vm_id, to }) => [vm_id, to])).toEqual([
      [one, 'hv2'],
      [two, 'hv2'],
    ])
    expect(await isMaintained()).toBe(false)
    expect(await placesOf([one, two])).toEqual(['hv1 running', 'hv1 running'])

    const result = await done(lab.horcrux, drains, 'drain', { id: 'hv1' })
    expect(result).toEqual({ moved: [one, two], skipped: [{ vm_id: off, reason: 'it is off' }] })
    expect(await placesOf([one, two, off])).toEqual(['hv2 running', 'hv2 running', 'hv1 stopped'])
    expect(await isMaintained()).toBe(true)

    expect(await done(lab.horcrux, drains, 'restore', { id: 'hv1' })).toMatchObject({ moved: [one, two] })
    expect(await placesOf([one, two])).toEqual(['hv1 running', 'hv1 running'])
    expect(await isMaintained()).toBe(false)
    // They are home: there is nothing to bring back any more.
    expect(await done(lab.horcrux, drains, 'restore', { id: 'hv1' })).toEqual({ moved: [], skipped: [] })
  })

  test('that is impossible is refused with its conflicts, and changes nothing', async () => {
    const [a, b] = [fresh('a'), fresh('b')]
    for (const id of [a, b]) await lab.make(id, { disks: [], start: true })
    const rule = fresh('rule')
    await lab.horcrux.call(placementRules, 'create', { id: rule, name: rule, kind: 'apart', vms: [a, b] })
    try {
      await expect(lab.horcrux.call(drains, 'drain', { id: 'hv1' })).rejects.toMatchObject({
        status: 409,
        message: expect.stringContaining(`Rule '${rule}' keeps '${a}', '${b}' apart`),
        details: { plan: { status: 'impossible' } },
      })
      expect(await isMaintained()).toBe(false)
      expect(await placesOf([a, b])).toEqual(['hv1 running', 'hv1 running'])
    } finally {
      await lab.horcrux.call(placementRules, 'delete', { id: rule })
    }
  })

  test('that is aborted stops at once: the guest under way stays, no other one begins, and the maintenance ends', async () => {
    const ids = [fresh('slow'), fresh('slow')]
    for (const id of ids) await lab.make(id, { disks: [], start: true })
    const begun = (await lab.horcrux.call(drains, 'drain', { id: 'hv1', bandwidth_limit: 1 })) as unknown as Operation
    await until(async () => (await lab.migration(ids[0]!)).status === 'transferring', { what: 'the first transfer' })
    await lab.horcrux.call(operations, 'cancel', { id: begun.id })
    const ended = await lab.horcrux.call(operations, 'wait', { id: begun.id, timeout: 60 }, { timeoutMs: 65_000 })
    expect(ended.state).toBe('cancelled')
    expect(await placesOf(ids)).toEqual(['hv1 running', 'hv1 running'])
    expect(await isMaintained()).toBe(false)
    await expect(lab.migration(ids[1]!)).rejects.toMatchObject({ status: 404 })
  })

  test('leaves out a guest that was shut down in the meantime', async () => {
    const [slow, gone] = [fresh('a-slow'), fresh('b-gone')]
    for (const id of [slow, gone]) await lab.make(id, { disks: [], start: true })
    const ending = work(lab.horcrux, drains, 'drain', { id: 'hv1', bandwidth_limit: 8 })
    await until(async () => (await lab.migration(slow)).status === 'transferring', { what: 'the first transfer' })
    await done(lab.horcrux, vms, 'stop', { id: gone, force: true })
    expect(await ending).toMatchObject({
      state: 'succeeded',
      result: { moved: [slow], skipped: [{ vm_id: gone, reason: 'it was shut down in the meantime' }] },
    })
  })
})
