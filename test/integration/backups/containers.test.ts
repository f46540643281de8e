import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { type Container, containers } from '#shared/contracts/container/containers.ts'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { type BackupJob, backupJobs, type Outcome } from '#shared/contracts/storage/backup-jobs.ts'
import { backupFiles } from '#shared/contracts/storage/backup-files.ts'
import { type Backup, backups, backupStores } from '#shared/contracts/storage/backups.ts'
import { containerBackups, type ContainerRestorePlan } from '#shared/contracts/storage/container-backups.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { drivers } from '../../../services/container/drivers/drivers.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { containerService } from '../../../services/container/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { containerMaker, useEngines } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { sample, seedOf } from '../../lab/faults/seed.ts'
import { idle } from '../../lab/containers/idle.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done, work } from '../../lab/product/run-operation.ts'

const lab = await labEngines()
let horcrux: TestHorcrux
let make: ReturnType<typeof containerMaker>
let count = 0

beforeAll(async () => {
  horcrux = await startHorcrux({
    services: [clusterService, containerService, storageService, vmService],
    config: { allowedPaths: [lab.dir] },
  })
  await useEngines(horcrux, lab)
  make = containerMaker(horcrux, lab)
  await horcrux.call(pools, 'create', { id: 'store', type: 'dir' }, { timeoutMs: 60_000 })
})
afterAll(() => horcrux?.stop())

/** On a busy machine an answer takes long. */
const patient = { timeoutMs: 60_000 }
const fresh = (word: string) => `${word}-${randomBytes(3).toString('hex')}-${count++}`
const sh = async (id: string, script: string) =>
  ((await done(horcrux, containers, 'exec', { id, command: ['/bin/sh', '-c', script] })) as { stdout: string }).stdout
const end = (id: string) => done(horcrux, containers, 'delete', { id, force: true, volumes: true })
const back = async (container_id: string, more: object = {}) =>
  (await done(horcrux, containerBackups, 'create', { container_id, pool: 'store', ...more })) as Backup
const restore = async (id: string, more: object = {}) =>
  (await done(horcrux, containerBackups, 'restore', { id, ...more })) as Container
const planOf = async (id: string, more: object = {}) =>
  (await horcrux.call(containerBackups, 'restore', {
    id,
    plan: true,
    ...more,
  } as never)) as unknown as ContainerRestorePlan
const running = (runtime: Runtime, id: string, more: object = {}) =>
  make(runtime, id, { env: { SECRET: 'of mine' }, labels: { tier: 'prod' }, memory: 64, start: true, ...more })

/** Each is backed up and restored in the torture, two of them in a run. */
describe.each(sample([...lab.engines], seedOf('backups of containers'), 2))('a container of %s', (runtime) => {
  test('is backed up, verified, and becomes a new container with its files and settings', async () => {
    const id = fresh('first')
    await running(runtime, id)
    await sh(
      id,
      'mkdir -p /root/sub; echo one >/root/sub/file; ln /root/sub/file /root/hard; ln -s sub/file /root/soft',
    )
    await sh(id, 'chown 1000:1001 /root/sub/file; chmod 4750 /root/sub/file')
    const first = await back(id, { protected: true, pause: true })
    expect(first).toMatchObject({
      kind: 'container',
      vm_id: null,
      container_id: id,
      container_name: id,
      state: 'ready',
    })
    expect(first.container).toMatchObject({ runtime, status: 'running', paused: true, env_saved: false })
    expect(first.container!.archives.map(({ id: place }) => place)).toEqual(['root'])
    expect(await horcrux.call(containers, 'get', { id })).toMatchObject({ status: 'running' })

    const second = await back(id)
    expect(second.new_bytes).toBeLessThan(first.new_bytes / 20)
    const verified = (await done(horcrux, backups, 'verify', { id: first.id })) as Backup
    expect(verified.data).toMatchObject({ ok: true })

    const { data } = await horcrux.call(backupFiles, 'list', { id: first.id, volume: 'root', path: '/root' }, patient)
    const listed = Object.fromEntries(data.map(({ name, kind, size_bytes }) => [name, `${kind} ${size_bytes}`]))
    expect(listed).toMatchObject({ sub: 'folder 0', hard: 'file 4', soft: 'link 0' })

    await sh(id, 'echo two >/root/sub/file')
    const plan = await planOf(first.id)
    expect(plan).toMatchObject({ to: 'new', name: `${id}-restored`, runtime, missing_env: ['SECRET'] })
    expect(plan.differences.map(({ field }) => field)).toContain('name')
    const copy = fresh('copy')
    const made = await restore(first.id, { container_id: copy, env: { SECRET: 'again' }, start: true })
    expect(made).toMatchObject({ id: copy, name: `${id}-restored`, runtime, status: 'running', memory: 64 })
    expect(made.env).toMatchObject({ SECRET: 'again' })
    expect(made.labels).toMatchObject({ tier: 'prod' })
    expect(
      await sh(copy, 'cat /root/sub/file /root/hard; readlink /root/soft; stat -c "%u:%g %a %h" /root/sub/file'),
    ).toBe('one\none\nsub/file\n1000:1001 4750 2\n')
    await end(copy)
    await end(id)
    const again = await restore(second.id, { container_id: copy, name: copy, start: true })
    expect(again.name).toBe(copy)
    expect(await sh(copy, 'cat /root/sub/file')).toBe('one\n')
    await end(copy)
  })

  test('gets the files of a backup, and its settings and name stay', async () => {
    const id = fresh('same')
    await running(runtime, id)
    await sh(id, 'echo then >/root/file')
    const { id: backup } = await back(id)
    await sh(id, 'echo now >/root/file; echo more >/root/more')
    expect(await planOf(backup, { to: 'same' })).toMatchObject({
      to: 'same',
      container_id: id,
      name: id,
      missing_env: [],
    })
    const restored = await restore(backup, { to: 'same', watch: 0, timeout: 1 })
    expect(restored).toMatchObject({ id, name: id, runtime, status: 'running', memory: 64 })
    expect(restored.env).toMatchObject({ SECRET: 'of mine' })
    expect(await sh(id, 'cat /root/file; ls /root')).toBe('then\nfile\n')
    await end(id)
  })
})

const withVolumes = lab.engines.filter((runtime) => drivers[runtime].rootFiles?.hasVolumes)
describe.each(withVolumes)('volumes of a container of %s', (runtime) => {
  test('are in its backup, and become new volumes', async () => {
    const id = fresh('vol')
    const mounts = [{ type: 'volume', source: `${id}-data`, target: '/data', read_only: false }]
    await running(runtime, id, { mounts })
    await sh(id, 'mkdir /data/sub; echo then >/data/sub/file')
    const backup = await back(id)
    expect(backup.container!.archives.map(({ target, volume }) => `${target} ${volume}`)).toEqual([
      '/ null',
      `/data ${id}-data`,
    ])
    await sh(id, 'echo now >/data/sub/file')

    const copy = fresh('copy')
    await restore(backup.id, { container_id: copy, start: true })
    expect(await sh(copy, 'cat /data/sub/file')).toBe('then\n')
    expect(await sh(id, 'cat /data/sub/file')).toBe('now\n')
    await restore(backup.id, { to: 'same', watch: 0, timeout: 1 })
    expect(await sh(id, 'cat /data/sub/file')).toBe('then\n')
    for (const each of [copy, id]) await end(each)
  })
})

/** Two engines of which the one's backup becomes a container of the other, by seed. */
const [from, to] = sample([...lab.engines], seedOf('a backup on another engine'), 2)
test.runIf(from && to)('a backup restores to another engine, with its files, users, links and settings', async () => {
  const id = fresh('moved')
  await running(from!, id)
  await sh(id, 'mkdir -p /root/sub; echo one >/root/sub/file; ln /root/sub/file /root/hard; ln -s sub/file /root/soft')
  await sh(id, 'chown 1000:1001 /root/sub/file; chmod 4750 /root/sub/file')
  const backup = await back(id)
  const copy = fresh(`on-${to}`)
  const asked = {
    container_id: copy,
    runtime: to,
    env: { SECRET: 'again' },
    ...(drivers[to!].lacks.command === undefined && { command: idle }),
  }
  const plan = await planOf(backup.id, asked)
  expect(plan).toMatchObject({ to: 'new', runtime: to, missing_env: [] })
  expect(plan.differences).toContainEqual(expect.objectContaining({ field: 'runtime' }))
  const made = await restore(backup.id, { ...asked, start: true })
  expect(made).toMatchObject({ id: copy, runtime: to, status: 'running', memory: 64, labels: { tier: 'prod' } })
  const script =
    'cat /root/sub/file /root/hard; readlink /root/soft; stat -c "%u:%g %a %h" /root/sub/file; echo $SECRET'
  expect(await sh(copy, script)).toBe('one\none\nsub/file\n1000:1001 4750 2\nagain\n')
  for (const each of [copy, id]) await end(each)
})

test('a job backs up containers by label and by resource pool, and deletes its surplus', async () => {
  const [runtime] = sample([...lab.engines], seedOf('a job of backups of containers'), 1)
  const [one, two, other] = [fresh('job'), fresh('job'), fresh('other')]
  for (const id of [one, two]) await make(runtime!, id, { labels: { job: one } })
  await make(runtime!, other, {})
  const jobOf = async (selection: object, more: object = {}) =>
    (await horcrux.call(backupJobs, 'create', {
      name: 'nightly',
      selection,
      pool: 'store',
      ...more,
    } as never)) as BackupJob
  const run = async ({ id }: BackupJob) =>
    (await done(horcrux, backupJobs, 'run', { id })) as { outcomes: Outcome[]; deleted: string[] }
  const of = (outcomes: Outcome[]) => outcomes.map(({ container_id, state }) => `${container_id} ${state}`).toSorted()

  const byLabel = await jobOf({ kind: 'label', label: `job=${one}` }, { retention: { last: 1 } })
  const first = await run(byLabel)
  expect(of(first.outcomes)).toEqual([`${one} succeeded`, `${two} succeeded`].toSorted())
  const second = await run(byLabel)
  expect(second.deleted.toSorted()).toEqual(first.outcomes.map(({ backup_id }) => backup_id).toSorted())

  const team = fresh('team')
  await horcrux.call(resourcePools, 'create', { id: team, name: team })
  for (const member of [one, other])
    await horcrux.call(resourcePools, 'putMember', { id: team, kind: 'container', member })
  const byPool = await jobOf({ kind: 'resource_pool', resource_pool: team })
  expect(of((await run(byPool)).outcomes)).toEqual([`${one} succeeded`, `${other} succeeded`].toSorted())
  for (const { id } of [byLabel, byPool]) await horcrux.call(backupJobs, 'delete', { id })
  for (const id of [one, two, other]) await end(id)
})

test('a store of deleted backups of containers has nothing left after a garbage collection', async () => {
  for (const { id, protected: isProtected } of (await horcrux.call(backups, 'list', { limit: 100 })).data) {
    if (isProtected) await horcrux.call(backups, 'update', { id, protected: false })
    await done(horcrux, backups, 'delete', { id })
  }
  await done(horcrux, backupStores, 'collect', { id: 'store' })
  expect(await horcrux.call(backupStores, 'get', { id: 'store' })).toMatchObject({ packs: 0, damaged: [] })
  expect((await work(horcrux, backupStores, 'collect', { id: 'store' })).state).toBe('succeeded')
})
