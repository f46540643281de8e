import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { ConflictError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { type CloneLab, refusal, startCloneLab } from '../../../lab/guests/clones.ts'
import { done } from '../../../lab/product/run-operation.ts'
import { available } from '../../../lab/requirements.ts'

const GiB = 2 ** 30
let lab: CloneLab
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

const virsh = async (...words: string[]) =>
  (await localHost().runChecked('virsh', ['-q', '-c', lab.lab.uri, ...words])).stdout.trim()
const take = async (id: string, name: string) =>
  (await done(lab.horcrux, snapshots, 'create', { id, name })) as Snapshot
const restore = (id: string, { id: snapshot_id }: Snapshot) =>
  done(lab.horcrux, snapshots, 'restore', { id, snapshot_id })
const hasSwtpm = available(
  'swtpm',
  existsSync('/usr/bin/swtpm') ? [] : ["the emulated TPM (Debian's packages swtpm and swtpm-tools)"],
)

test.skipIf(!hasSwtpm)(
  'the variables of UEFI and the state of a TPM come back, and go forward with an undo',
  async () => {
    await lab.makeSource('sealed', { firmware: 'uefi' })
    const uuid = await virsh('domuuid', 'sealed')
    const tpm = '<tpm model="tpm-crb"><backend type="emulator" version="2.0"/></tpm>'
    const file = join(lab.lab.dir, 'sealed.xml')
    const xml = await virsh('dumpxml', '--inactive', '--security-info', 'sealed')
    await writeFile(file, xml.replace('</devices>', `${tpm}</devices>`))
    await virsh('define', file)
    const variables = join(lab.lab.stateDir, 'nvram/sealed.fd')
    const keys = `/var/lib/libvirt/swtpm/${uuid}/tpm2/tpm2-00.permall`
    const { host } = lab.images
    await host.mkdir(`/var/lib/libvirt/swtpm/${uuid}/tpm2`)
    await mkdir(join(lab.lab.stateDir, 'nvram'), { recursive: true })
    const write = async (text: string) => {
      await writeFile(variables, `variables ${text}`)
      await host.writeFile(keys, `keys ${text}`)
    }
    const kept = async () => [await readFile(variables, 'utf8'), (await host.readFile(keys)).toString()]

    await write('one')
    const snapshot = await take('sealed', 'sealed')
    expect(snapshot).toMatchObject({ has_variables: true, has_tpm: true })
    await write('two')
    await restore('sealed', snapshot)
    expect(await kept()).toEqual(['variables one', 'keys one'])
    await done(lab.horcrux, snapshots, 'undoRestore', { id: 'sealed' })
    expect(await kept()).toEqual(['variables two', 'keys two'])
    expect(await virsh('snapshot-list', 'sealed', '--name')).toBe('')
  },
)

test('a restore brings back hardware and detached disks, and leaves disks that were added since as free volumes', async () => {
  const { horcrux } = lab
  await lab.makeSource('web', { nics: [{ bridge: 'lan', mac: '52:54:00:0d:0e:20' }] })
  const snapshot = await take('web', 'before')
  await horcrux.call(vms, 'update', { id: 'web', memory: 256, name: 'other', description: 'stays' })
  await done(horcrux, devices, 'detachDisk', { id: 'web', disk: 'vdb' })
  await done(horcrux, devices, 'attachDisk', { id: 'web', pool: 'images', size: GiB })
  const added = (await horcrux.call(vms, 'get', { id: 'web' })).disks.find(({ volume }) => volume !== 'web-disk-0')!
  const restored = await restore('web', snapshot)
  expect(restored).toMatchObject({
    memory: 128,
    name: 'other',
    description: 'stays',
    nics: [{ mac: '52:54:00:0d:0e:20' }],
    disks: [
      { id: 'vda', volume: 'web-disk-0' },
      { id: 'vdb', volume: 'web-disk-1' },
    ],
  })
  const usedBy = async (volume: string) => (await horcrux.call(volumes, 'get', { id: 'images', volume })).used_by
  expect(await usedBy(added.volume!)).toBeNull()
  expect(await usedBy('web-disk-1')).toBe('/api/vms/web')
  const undone = await done(horcrux, snapshots, 'undoRestore', { id: 'web' })
  expect(undone).toMatchObject({ memory: 256, disks: [{ volume: 'web-disk-0' }, { volume: added.volume }] })
  expect(await usedBy('web-disk-1')).toBeNull()
  const purge = refusal(lab.horcrux.call(vms, 'delete', { id: 'web', purge: true }), ConflictError)
  expect((await purge).message).toMatch(/has a state of volume 'images\/web-disk-1'.*delete the snapshot first/)
  await done(horcrux, snapshots, 'delete', { id: 'web', snapshot_id: snapshot.id })
})

test('a volume of which a snapshot has a state is not deleted, and a disk that another VM has is not restored', async () => {
  const { horcrux } = lab
  await lab.makeSource('web')
  const snapshot = await take('web', 'before')
  const purge = refusal(done(horcrux, devices, 'detachDisk', { id: 'web', disk: 'vdb', purge: true }), Error)
  expect((await purge).message).toMatch(/1 snapshot\(s\) have a state of it/)
  await done(horcrux, devices, 'detachDisk', { id: 'web', disk: 'vdb' })
  const disks = [{ pool: 'images', volume: 'web-disk-1' }]
  await done(horcrux, vms, 'create', { id: 'thief', name: 'thief', memory: 128, cpus: 1, node: 'hv1', disks })
  const refused = await refusal(restore('web', snapshot), ConflictError)
  expect(refused.message).toMatch(/vdb, volume 'images\/web-disk-1', belongs to \/api\/vms\/thief by now/)
  await done(horcrux, vms, 'delete', { id: 'thief' })
  await restore('web', snapshot)
  await done(horcrux, snapshots, 'undoRestore', { id: 'web' })
  await done(horcrux, snapshots, 'delete', { id: 'web', snapshot_id: snapshot.id })
  await done(horcrux, volumes, 'delete', { id: 'images', volume: 'web-disk-1' })
})
