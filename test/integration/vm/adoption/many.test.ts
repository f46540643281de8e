import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { BulkResult } from '#shared/contracts/bulk.ts'
import { type AdoptionPlan, vmAdoptions } from '#shared/contracts/vm/vm-adoptions.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { poolPath, startGuests } from '../../../lab/guests/guests.ts'
import { labHosts } from '../../../lab/hosts/lab.ts'
import { done, work } from '../../../lab/product/run-operation.ts'
import { until } from '../../../lab/wait.ts'

const GiB = 2 ** 30
const [host] = labHosts
let lab: Awaited<ReturnType<typeof startGuests>>

const image = (path: string) =>
  localHost().runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', join(host!.dir, path), String(GiB)])
const disk = (path: string) =>
  `<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="${path}"/><target dev="vda" bus="virtio"/></disk>`
const nic = (mac: string) =>
  `<interface type="bridge"><mac address="${mac}"/><source bridge="lan"/><model type="virtio"/></interface>`
const domain = (name: string, devices: string[], more = '') =>
  `<domain type="qemu"><name>${name}</name><uuid>${randomUUID()}</uuid><memory unit="MiB">128</memory><vcpu>1</vcpu>${more}<os><type arch="x86_64" machine="pc">hvm</type></os><devices>${devices.join('')}</devices></domain>`
const given = { id: 'hv1', resource_pool: 'arrivals' }
/** The plan of all; on a busy machine there may be no time to read all guests in the request. */
async function planOf(params: object = {}): Promise<AdoptionPlan> {
  const read = async () =>
    (await lab.horcrux.call(
      vmAdoptions,
      'run',
      { ...given, ...params, plan: true },
      { timeoutMs: 60_000 },
    )) as unknown as AdoptionPlan
  let plan = await read()
  await until(async () => plan.unread.length === 0 || (plan = await read()).unread.length === 0, { what: 'the plan' })
  return plan
}
const notesOf = (plan: AdoptionPlan, name: string) => plan.adopts.find((each) => each.name === name)?.notes

beforeAll(async () => {
  lab = await startGuests(host!)
})
/** Each try begins on a node without guests. */
beforeEach(async () => {
  const { horcrux, virsh } = lab
  for (const { id } of (await horcrux.call(vms, 'list', {})).data)
    await done(horcrux, vms, 'delete', { id, purge: true })
  for (const name of (await virsh('list', '--all', '--name')).split('\n').filter(Boolean))
    await virsh('undefine', name, '--snapshots-metadata')
  await horcrux.call(resourcePools, 'delete', { id: 'arrivals' }).catch(() => undefined)
  await horcrux.call(resourcePools, 'create', { id: 'arrivals', name: 'arrivals', limits: { instances: 3 } })
})
afterAll(() => lab?.horcrux.stop())

test('all guests of a node are adopted in one operation; the plan tells what stays as it is, and each reason against the others', async () => {
  const { horcrux, virsh, defineByHand } = lab
  for (const name of ['web.1', 'db', 'same', 'late', 'extra']) await image(`pool/${name}.qcow2`)
  const at = (name: string) => disk(`${poolPath}/${name}.qcow2`)
  const [first, second] = ['52:54:00:aa:00:01', '52:54:00:aa:00:02']
  const watchdog = '<watchdog model="i6300esb" action="poweroff"/>'
  const volume =
    '<disk type="volume" device="disk"><source pool="theirs" volume="root"/><target dev="vdb" bus="virtio"/></disk>'
  await defineByHand(
    'web.1',
    domain('web.1', [at('web.1'), nic(first), watchdog, volume], '<cputune><shares>2048</shares></cputune>'),
  )
  await defineByHand('db', domain('db', [at('db'), nic(second)]))
  await defineByHand('same-mac', domain('same-mac', [at('same'), nic(second)]))
  await defineByHand('same-disk', domain('same-disk', [at('db')]))
  await defineByHand('late', domain('late', [at('late')]))
  await virsh('snapshot-create-as', 'late', 'before')
  await defineByHand('extra', domain('extra', [at('extra')]))

  // In this order, so that the same ones find room each time: the hypervisor lists them in any.
  const domains = ['web.1', 'db', 'same-mac', 'same-disk', 'late', 'extra'].map((domain) => ({ domain }))
  const plan = await planOf({ domains })
  expect(plan.adopts.map(({ domain: name, name: as }) => [name, as])).toEqual(
    expect.arrayContaining([
      ['web.1', 'web-1'],
      ['late', 'late'],
    ]),
  )
  expect(notesOf(plan, 'web-1')).toEqual([
    'disk vdb (theirs/root)',
    expect.stringMatching(/^watchdog/),
    'CPU pinning and shares',
  ])
  expect(notesOf(plan, 'late')).toEqual([expect.stringMatching(/^1 snapshots of libvirt's own/)])
  const reasons = plan.refused.flatMap((each) => each.reasons.map(({ message }) => message))
  expect(plan.adopts).toHaveLength(3)
  expect(plan.refused).toHaveLength(3)
  expect(reasons).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/is also that of domain/),
      expect.stringMatching(/has no room for it: instances 3 \+ 1 of 3/),
    ]),
  )
  // A plan changes nothing.
  expect((await planOf({ domains })).plan_id).toBe(plan.plan_id)
  expect((await horcrux.call(vms, 'list', {})).total).toBe(0)

  const result = (await done(horcrux, vmAdoptions, 'run', { ...given, domains })) as BulkResult
  expect(result).toMatchObject({ failed: [], skipped: [] })
  expect(result.refused).toHaveLength(3)
  const { data } = await horcrux.call(vms, 'list', {})
  expect(data.map(({ name }) => name).toSorted()).toEqual(plan.adopts.map(({ name }) => name).toSorted())
  expect(data.map(({ id }) => id).toSorted()).toEqual(result.done.toSorted())
  expect((await horcrux.call(resourcePools, 'get', { id: 'arrivals' })).used.instances).toBe(3)
  // A domain that is off has the name of its VM, and keeps its snapshot.
  expect(await virsh('domstate', 'web-1')).toBe('shut off')
  expect(await virsh('snapshot-list', 'late', '--name')).toBe('before')
  // Of the others none has room.
  expect(await work(horcrux, vmAdoptions, 'run', given)).toMatchObject({
    state: 'failed',
    error: { message: expect.stringMatching(/^No guest of node 'hv1' can be adopted: .*has no room for it/) },
  })
})

test('guests of a list get the ids and names that it gives; one that is refused stops no other', async () => {
  const { horcrux, defineByHand } = lab
  await image('pool/one.qcow2')
  await image('pool/two.qcow2')
  await defineByHand('one', domain('one', [disk(`${poolPath}/one.qcow2`)]))
  await defineByHand('two', domain('two', [disk(`${poolPath}/two.qcow2`)]))
  const domains = [{ domain: 'one', id: 'uno', name: 'uno' }, { domain: 'two' }, { domain: 'absent' }]
  const { adopts, refused } = await planOf({ domains, resource_pool: undefined })
  expect(adopts).toMatchObject([
    { domain: 'one', id: 'uno', name: 'uno' },
    { domain: 'two', id: null, name: 'two' },
  ])
  expect(refused).toMatchObject([{ domain: 'absent', reasons: [{ code: 'not_found' }] }])

  await rm(join(host!.dir, 'pool/two.qcow2'))
  expect(await done(horcrux, vmAdoptions, 'run', { id: 'hv1', domains })).toMatchObject({
    done: ['uno'],
    failed: [],
    refused: [{ id: 'absent' }, { name: 'two', message: expect.stringContaining('two.qcow2') }],
  })
  expect(await horcrux.call(vms, 'get', { id: 'uno' })).toMatchObject({ name: 'uno', status: 'stopped' })
  expect(await work(horcrux, vmAdoptions, 'run', { id: 'hv1', domains: [{ domain: 'uno' }] })).toMatchObject({
    state: 'failed',
    error: { message: expect.stringContaining("is virtual machine 'uno' already") },
  })
})
