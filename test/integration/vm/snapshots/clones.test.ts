import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { templates } from '#shared/contracts/vm/templates.ts'
import { type Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, ValidationError } from '#shared/errors.ts'
import { type CloneLab, refusal, startCloneLab } from '../../../lab/guests/clones.ts'
import { done } from '../../../lab/product/run-operation.ts'

let lab: CloneLab
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

const take = async (name: string) => (await done(lab.horcrux, snapshots, 'create', { id: 'web', name })) as Snapshot
const deletion = (params: { id: string; snapshot_id: string }) =>
  lab.horcrux.call(snapshots, 'delete', params) as Promise<unknown>
const treeOf = async () => (await lab.horcrux.call(snapshots, 'tree', { id: 'web' })).data
const remove = (id: string) => done(lab.horcrux, vms, 'delete', { id, purge: true })
const fileOf = async (id: string) => {
  const { disks } = await lab.horcrux.call(vms, 'get', { id })
  return disks.map(({ source }) => (source as { path: string }).path.split('/').at(-1)!)
}

test('full and linked clones have the content and hardware of the snapshot, and those that read it are told', async () => {
  await lab.makeSource('web')
  const { id: snapshot } = await take('before')
  const [head] = await fileOf('web')
  await lab.images.write(head!, 0xff, 0, 16)
  await done(lab.horcrux, vms, 'update', { id: 'web', memory: 256 }).catch(() => undefined)

  const full = await lab.clone('web', 'full', { snapshot })
  const linked = await lab.clone('web', 'linked', { snapshot, mode: 'linked' })
  expect(full).toMatchObject({ memory: 128, template: false, status: 'stopped' })
  for (const id of ['full', 'linked']) {
    const files = await fileOf(id)
    expect(await lab.images.holds(files[0]!, 0xa1, 0, 16)).toBe(true)
    expect(await lab.images.holds(files[1]!, 0xb2, 100, 16)).toBe(true)
  }
  expect(linked.disks.map(({ size_bytes }) => size_bytes)).toEqual(full.disks.map(({ size_bytes }) => size_bytes))
  expect(await treeOf()).toMatchObject([{ id: snapshot, dependents: ['/api/vms/linked'] }])
  expect(await lab.horcrux.call(snapshots, 'get', { id: 'web', snapshot_id: snapshot })).toMatchObject({ uses: 2 })

  const own = { id: 'web', snapshot_id: snapshot }
  const refused = await refusal(deletion(own), ConflictError)
  expect(refused.message).toContain('/api/vms/linked')
  expect(refused.details['dependents']).toEqual(['/api/vms/linked'])
  const purged = await refusal(
    lab.horcrux.call(vms, 'delete', { id: 'web', purge: true }) as Promise<unknown>,
    ConflictError,
  )
  expect(purged.message).toContain('/api/vms/linked')

  // A clone changes neither its source nor the other one.
  await lab.images.write((await fileOf('linked'))[0]!, 0xcc, 0, 16)
  expect(await lab.images.holds((await fileOf('full'))[0]!, 0xa1, 0, 16)).toBe(true)
  expect(await lab.images.holds(head!, 0xff, 0, 16)).toBe(true)
  await remove('linked')
  await done(lab.horcrux, snapshots, 'delete', own)
  expect(await treeOf()).toEqual([])
  expect(await lab.images.holds((await fileOf('web'))[0]!, 0xff, 0, 16)).toBe(true)
})

test('a template is made of a snapshot, and its clones have the content of then', async () => {
  await lab.makeSource('web')
  const { id: snapshot } = await take('before')
  await lab.images.write((await fileOf('web'))[0]!, 0xff, 0, 16)
  const nameless = lab.horcrux.call(templates, 'create', { vm_id: 'web', snapshot }) as Promise<unknown>
  expect((await refusal(nameless, ValidationError)).violations[0]?.field).toBe('name')
  const named = lab.horcrux.call(templates, 'create', { vm_id: 'web', name: 'golden' }) as Promise<unknown>
  expect((await refusal(named, ValidationError)).violations[0]?.field).toBe('name')

  const wanted = { vm_id: 'web', snapshot, id: 'golden', name: 'golden', mode: 'linked' }
  expect(await done(lab.horcrux, templates, 'create', wanted)).toMatchObject({ id: 'golden', template: true })
  expect(await treeOf()).toMatchObject([{ dependents: ['/api/vms/golden'] }])
  expect(await lab.horcrux.call(vms, 'get', { id: 'web' })).toMatchObject({ template: false })
  await lab.deploy('golden', 'copy')
  expect(await lab.images.holds((await fileOf('copy'))[0]!, 0xa1, 0, 16)).toBe(true)
  await remove('copy')
  await remove('golden')
})
