import { readdir, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { clonePresets } from '#shared/contracts/vm/clone-presets.ts'
import { templates } from '#shared/contracts/vm/templates.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { type CloneLab, refusal, startCloneLab } from '../../../lab/guests/clones.ts'
import { foreignDomain } from '../../../lab/guests/foreign-domain.ts'
import { done, work } from '../../../lab/product/run-operation.ts'

let lab: CloneLab
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

const domains = async () =>
  (await localHost().runChecked('virsh', ['-c', lab.lab.uri, 'list', '--all', '--name'])).stdout

test('a template is not started, not changed, unknown to libvirt, and becomes a machine again', async () => {
  const { horcrux } = lab
  const source = await lab.makeSource('gold')
  expect(await lab.makeTemplate('gold')).toMatchObject({ id: 'gold', template: true, linked_clones: [] })
  expect((await domains()).trim()).toBe('')
  const start = await refusal(horcrux.call(vms, 'start', { id: 'gold' }), ConflictError)
  expect(start.message).toMatch(/is a template/)
  await refusal(horcrux.call(vms, 'update', { id: 'gold', memory: 256 }), ConflictError)
  await refusal(horcrux.call(templates, 'create', { vm_id: 'gold' }), ConflictError)
  expect((await horcrux.call(vms, 'list', { filter: 'template:true' })).data.map(({ id }) => id)).toEqual(['gold'])
  expect((await horcrux.call(vms, 'list', { filter: 'template:false' })).data).toEqual([])

  const back = (await done(horcrux, templates, 'delete', { id: 'gold' })) as Vm
  expect(back).toMatchObject({ id: 'gold', template: false, disks: source.disks })
  await refusal(horcrux.call(templates, 'get', { id: 'gold' }), NotFoundError)
  expect(((await done(horcrux, vms, 'start', { id: 'gold' })) as Vm).status).toBe('running')
  await refusal(horcrux.call(templates, 'create', { vm_id: 'gold' }), ConflictError)
})

test('of a change and the making of a template at the same time one is refused, or both hold one after the other', async () => {
  const { horcrux } = lab
  const outcomes = new Set<string>()
  for (let round = 0; round < 12; round++) {
    const [id, memory] = [`race-${round}`, 256]
    const given = { id, name: id, memory: 128, cpus: 1, node: 'hv1' }
    await done(horcrux, vms, 'create', given)
    const patch = (waitMs: number) => delay(waitMs).then(() => horcrux.call(vms, 'update', { id, memory }))
    const making = delay((round % 4) * 10).then(() => work(horcrux, templates, 'create', { vm_id: id }))
    const [[made], patched] = await Promise.all([
      Promise.allSettled([making]),
      Promise.allSettled([0, 5, 10, 20, 40].map((ms) => patch(ms + round))),
    ])
    for (const one of [made, ...patched])
      if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(ConflictError)
    const isTemplate = made.status === 'fulfilled'
    if (isTemplate) expect(made.value.state).toBe('succeeded')
    const isChanged = patched.some(({ status }) => status === 'fulfilled')
    outcomes.add(`${isTemplate ? 'template' : 'machine'}${isChanged ? ', changed' : ''}`)
    expect(await horcrux.call(vms, 'get', { id })).toMatchObject({
      template: isTemplate,
      memory: isChanged ? memory : 128,
      pending: [],
    })
    // A template is unknown to its host: a change that came late would have it defined again.
    expect((await domains()).split('\n').includes(id)).toBe(!isTemplate)
    await done(horcrux, vms, 'delete', { id })
  }
  process.stdout.write(`  ${[...outcomes].join('; ')}\n`)
  expect(outcomes).not.toContain('machine')
})

test('a linked clone reads the template’s data and writes only its own', async () => {
  const { images } = lab
  await lab.makeSource('gold')
  const refused = await refusal(
    lab.horcrux.call(vms, 'clone', { vm: 'gold', name: 'copy', mode: 'linked' }),
    ConflictError,
  )
  expect(refused.message).toMatch(/Turn it into a template first/)
  await lab.makeTemplate('gold')
  const base = await Promise.all([images.checksum('gold-disk-0.qcow2'), images.checksum('gold-disk-1.raw')])

  const one = await lab.deploy('gold', 'one')
  const two = await lab.deploy('gold', 'two')
  expect(one.disks.map(({ format }) => format)).toEqual(['qcow2', 'qcow2'])
  expect(await images.info('one-disk-1.qcow2')).toMatchObject({
    'backing-filename': images.pathOf('gold-disk-1.raw'),
    'backing-filename-format': 'raw',
  })
  expect(await images.areEqual('gold-disk-1.raw', 'one-disk-1.qcow2')).toBe(true)
  expect((await images.info('one-disk-0.qcow2'))['actual-size']).toBeLessThan(2 ** 20)

  await images.write('one-disk-0.qcow2', 0xcc, 0, 4)
  await images.write('one-disk-1.qcow2', 0xdd, 100, 4)
  expect(await images.holds('two-disk-0.qcow2', 0xa1, 0, 16)).toBe(true)
  expect(await images.holds('two-disk-1.qcow2', 0xb2, 100, 16)).toBe(true)
  // Real guests run on them, and switched off again they have left the base as it was.
  for (const { id } of [one, two]) await done(lab.horcrux, vms, 'start', { id })
  for (const { id } of [one, two]) await done(lab.horcrux, vms, 'stop', { id, force: true })
  expect(await Promise.all([images.checksum('gold-disk-0.qcow2'), images.checksum('gold-disk-1.raw')])).toEqual(base)
})

test('the source of linked clones is neither deleted nor changed; the refusal names the clones', async () => {
  const { horcrux } = lab
  await lab.makeSource('gold')
  await lab.makeTemplate('gold')
  await lab.deploy('gold', 'one')
  // A chain: a linked clone is a template itself.
  await lab.makeTemplate('one')
  const leaf = await lab.deploy('one', 'leaf')
  const full = await lab.deploy('one', 'flat', { mode: 'full' })
  expect((await horcrux.call(templates, 'list', {})).data.map((one) => [one.id, one.linked_clones])).toEqual([
    ['gold', ['/api/vms/one']],
    ['one', ['/api/vms/leaf']],
  ])
  for (const ask of [
    () => horcrux.call(vms, 'delete', { id: 'gold', purge: true }),
    () => horcrux.call(vms, 'delete', { id: 'gold' }),
    () => horcrux.call(templates, 'delete', { id: 'gold' }),
  ])
    expect((await refusal(ask(), ConflictError)).message).toMatch(
      /backing files in use by 1 linked clone.*\/api\/vms\/one/,
    )
  const byOwner = { id: 'images', volume: 'gold-disk-0', owner: '/api/vms/gold' }
  expect((await refusal(horcrux.call(volumesInternal, 'deleteFor', byOwner), ConflictError)).message).toMatch(
    /backing file in use/,
  )
  expect(await horcrux.call(volumes, 'get', { id: 'images', volume: 'gold-disk-0' })).not.toHaveProperty(
    'deleting',
    true,
  )

  await done(horcrux, vms, 'delete', { id: leaf.id, purge: true })
  await done(horcrux, templates, 'delete', { id: 'one' })
  await done(horcrux, vms, 'delete', { id: 'one', purge: true })
  await done(horcrux, vms, 'delete', { id: 'gold', purge: true })
  expect(await lab.images.holds(`${full.disks[0]!.volume}.qcow2`, 0xa1, 0, 16)).toBe(true)
})

test('a volume without an owner is protected by its linked clones too', async () => {
  const { horcrux } = lab
  const GiB = 2 ** 30
  const one = { id: 'images', volume: 'base' }
  await done(horcrux, volumes, 'create', { id: 'images', name: 'base', size: GiB, format: 'raw' })
  const clone = await done(horcrux, volumes, 'clone', { ...one, name: 'child', mode: 'linked' })
  expect(clone).toMatchObject({ id: 'images/child', format: 'qcow2', backing: 'images/base', size_bytes: GiB })
  await refusal(horcrux.call(volumes, 'delete', one), ConflictError)
  await refusal(horcrux.call(volumes, 'resize', { ...one, size: 2 * GiB }), ConflictError)
  await refusal(horcrux.call(volumesInternal, 'attach', { ...one, owner: '/api/vms/x' }), ConflictError)
  expect((await horcrux.call(volumes, 'get', one)).used_by).toBeNull()
  const copy = await done(horcrux, volumes, 'clone', { ...one, volume: 'child', name: 'copy', mode: 'full' })
  expect(copy).toMatchObject({ format: 'qcow2', backing: null })
  await done(horcrux, volumes, 'delete', { ...one, volume: 'child' })
  await done(horcrux, volumes, 'delete', one)
})

test('twenty linked clones of one template at once', async () => {
  await lab.makeSource('gold', { nics: [{ bridge: 'lan' }] })
  await lab.makeTemplate('gold')
  const ids = Array.from({ length: 20 }, (_, index) => `vm-${index + 10}`)
  const made = await Promise.all(ids.map((id) => lab.deploy('gold', id)))
  expect(new Set(made.map(({ nics }) => nics[0]!.mac)).size).toBe(20)
  const { linked_clones } = await lab.horcrux.call(templates, 'get', { id: 'gold' })
  expect(linked_clones).toEqual(ids.map((id) => `/api/vms/${id}`))
  for (const id of ids) expect(await lab.images.holds(`${id}-disk-1.qcow2`, 0xb2, 100, 1)).toBe(true)
  expect((await domains()).trim().split('\n')).toHaveLength(20)
})

test('a preset fills the fields that a request leaves out; lists can be filtered by several tags', async () => {
  const { horcrux } = lab
  await lab.makeSource('gold', { nics: [{ bridge: 'lan' }], tags: ['base'] })
  await lab.makeTemplate('gold')
  const preset = { id: 'small', name: 'small', mode: 'full', cpus: 2, memory: 256, tags: ['web', 'prod'] }
  await horcrux.call(clonePresets, 'create', { ...preset, network_config: { dns_servers: ['10.0.0.2'] } })
  const network_config = { ip_addresses: ['10.0.0.9/24'], gateway: '10.0.0.1' }
  const one = await lab.deploy('gold', 'one', { preset: 'small', memory: 512, network_config })
  expect(one).toMatchObject({ cpus: 2, memory: 512, tags: ['web', 'prod'], seed: expect.stringMatching(/one\.iso$/) })
  expect(one.disks[1]).toMatchObject({ format: 'raw' })
  const two = await lab.deploy('gold', 'two', { tags: ['web'] })
  expect(two).toMatchObject({ cpus: 1, memory: 128, tags: ['web'], seed: null })
  const found = async (filter: string) => (await horcrux.call(vms, 'list', { filter })).data.map(({ id }) => id)
  expect(await found('tags:web')).toEqual(['one', 'two'])
  expect(await found('tags:web,tags:prod')).toEqual(['one'])
  expect(await found('tags:pro*')).toEqual(['one'])

  const changed = await horcrux.call(clonePresets, 'update', { id: 'small', cpus: null, start: true })
  expect(changed).toMatchObject({ memory: 256, start: true })
  expect(changed).not.toHaveProperty('cpus')
  await refusal(horcrux.call(clonePresets, 'create', { name: 'small' }), ConflictError)
  await horcrux.call(clonePresets, 'delete', { id: 'small' })
  expect((await horcrux.call(clonePresets, 'list', {})).data).toEqual([])
})

test('XML that Horcrux does not know survives the time as a template', async () => {
  const { horcrux } = lab
  const virsh = (...words: string[]) => localHost().runChecked('virsh', ['-q', '-c', lab.lab.uri, ...words])
  const file = `${lab.lab.dir}/by-hand.xml`
  await writeFile(file, foreignDomain('by-hand', '0198d1c5-7b1e-7000-8000-0000000000bb'))
  await virsh('define', file)
  await done(horcrux, vms, 'adopt', { node: 'hv1', domain: 'by-hand', id: 'by-hand' })
  const written = async () => (await virsh('dumpxml', '--inactive', '--security-info', 'by-hand')).stdout
  const before = await written()
  expect(before).toContain('watchdog')
  await lab.makeTemplate('by-hand')
  expect((await domains()).trim()).toBe('')
  await done(horcrux, templates, 'delete', { id: 'by-hand' })
  expect(await written()).toBe(before)
  await lab.makeTemplate('by-hand')
  await done(horcrux, vms, 'delete', { id: 'by-hand' })
  expect(await readdir(`${lab.lab.stateDir}/shelved`)).not.toContain('by-hand.xml')
})
