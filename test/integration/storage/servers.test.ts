import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { poolSecrets, type PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { markerName } from '../../../services/storage/drivers/marker.ts'
import { poolRecords, volumeRecords } from '../../../services/storage/models.ts'
import { storageService } from '../../../services/storage/service.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { available } from '../../lab/requirements.ts'
import { type KernelNode, kernelNode } from '../../lab/storage/kernel-node.ts'
import { storageLabs } from '../../lab/storage/labs.ts'
import { type LabServer, missingFor, startServer } from '../../lab/storage/servers/servers.ts'
import { until } from '../../lab/wait.ts'

const GiB = 2 ** 30
const node = await kernelNode()
/** Kinds that a node mounts, each with the main process of its server. */
const mounted = [
  { type: 'nfs', server: 'ganesha' },
  { type: 'cifs', server: 'smbd' },
] as const
const kinds = node ? mounted : []
let count = 0
/** An operation that has failed and changed nothing. */
const ended = /^(failed|rolled_back)$/

describe.each(kinds)('a storage pool of kind $type', ({ type, server: name }) => {
  let horcrux: TestHorcrux
  let server: LabServer
  let id: string
  const { host, target } = node as KernelNode
  const missing = missingFor(type)
  /** Programs take long to start in an emulated machine. */
  const patient = { timeoutMs: 60_000 }

  beforeAll(async () => {
    if (!available(type, await missing)) return
    server = await startServer(type, name)
    horcrux = await startHorcrux({ services: [clusterService, storageService] })
    const { address, port, user, privateKey, hostKey } = target
    const at = { address, ssh_port: port, ssh_user: user, private_key: privateKey, host_key: hostKey }
    await done(horcrux, nodes, 'register', { id: 'kn', name: 'kn', ...at, allowed_paths: ['/var/lib/horcrux'] })
  })
  afterAll(() => horcrux?.stop())

  /** A storage pool at a folder of its own. @returns the folder on the server */
  async function create(): Promise<string> {
    id = `pool-${process.pid}-${count++}`
    const given = await (await storageLabs[type as PoolType]())!.given()
    await horcrux.call(pools, 'create', { id, type, ...given, nodes: ['kn'] } as never, patient)
    await back()
    const folder = 'export' in given ? given.export.replace('/vms/', '') : 'folder' in given ? given.folder! : ''
    return join(server.dir, 'export', folder)
  }
  const get = () => horcrux.call(pools, 'get', { id }, patient)
  const make = (volume: string) => work(horcrux, volumes, 'create', { id, name: volume, size: GiB, format: 'raw' })
  /** Makes a volume, however late the node answers: it is an emulated one, on a machine that may be busy. */
  const insist = (volume: string) =>
    until(async () => {
      await make(volume)
      return (await volumeRecords.get(`${id}/${volume}`)) !== null
    })
  /** As {@link make}, for a storage pool that does not answer: refused at once, or ended without a change. */
  const refusal = (working: Promise<unknown>) =>
    working.then(
      (operation) => operation as { state: string; error: unknown },
      (error: Error) => ({ state: 'failed', error: { error: error.name } }),
    )
  const mounts = async () => (await host.readFile('/proc/self/mountinfo')).toString()
  const pathOf = (pool: unknown) => (pool as { path: string }).path
  const back = () => until(async () => (await get()).health === 'ok', { timeoutMs: 60_000 })

  test('is mounted by its node, holds volumes, and is unmounted when it is deleted; its secret is in no answer', async () => {
    const folder = await create()
    const pool = await get()
    expect(pool).toMatchObject({ type, health: 'ok', nodes: ['kn'], capabilities: { shared: true, snapshots: true } })
    expect(await mounts()).toContain(` ${pathOf(pool)} `)
    await until(() => done(horcrux, volumes, 'create', { id, name: 'web', size: GiB }))
    await done(horcrux, volumes, 'clone', { id, volume: 'web', name: 'linked', mode: 'linked' })
    expect(readdirSync(folder).toSorted()).toEqual([markerName, 'linked.qcow2', 'web.qcow2'])
    const secrets = [await poolRecords.require(id), pool, await mounts()].map((each) => JSON.stringify(each)).join()
    const own = type === 'cifs' ? [readFileSync(join(server.dir, 'password'), 'utf8').trim()] : []
    for (const secret of [...poolSecrets.map((field) => `"${field}"`), ...own]) expect(secrets).not.toContain(secret)
    for (const volume of ['linked', 'web']) await done(horcrux, volumes, 'delete', { id, volume })
    await horcrux.call(pools, 'delete', { id }, patient)
    expect(readdirSync(folder)).toEqual([])
    expect(await mounts()).not.toContain(pathOf(pool))
    expect(await host.stat(pathOf(pool))).toBeNull()
  })

  test('is mounted again when it was unmounted; nothing is written below the mount', async () => {
    const folder = await create()
    const path = pathOf(await get())
    await host.runChecked('umount', [path])
    await insist('after')
    expect(readdirSync(folder).toSorted()).toEqual([markerName, 'after.raw'])
    await horcrux.call(pools, 'deactivate', { id }, patient)
    expect(await mounts()).not.toContain(` ${path} `)
    // Another file system in its place.
    await host.runChecked('mkdir', ['-p', path])
    await host.runChecked('mount', ['-t', 'tmpfs', 'other', path])
    await horcrux.call(pools, 'activate', { id }, patient).then(
      () => expect.unreachable(),
      (error: Error) => expect(error.message).toMatch(/has other \(tmpfs\) mounted/),
    )
    expect(await host.list(path)).toEqual([])
    await host.runChecked('umount', [path])
    await horcrux.call(pools, 'activate', { id }, patient)
    expect(await host.list(path)).not.toEqual([])
  })

  test('refuses changes while its server is dead, hangs nothing, and is there again with it; nothing is left', async () => {
    const folder = await create()
    await insist('kept')
    await server.kill()
    try {
      const refused = await refusal(make('lost'))
      expect(refused).toMatchObject({
        state: expect.stringMatching(ended),
        error: { error: expect.stringMatching(/unavailable/i) },
      })
      expect(await get()).toMatchObject({ health: 'unreachable', health_reason: expect.any(String) })
      const grown = await refusal(work(horcrux, volumes, 'resize', { id, volume: 'kept', size: 2 * GiB }))
      expect(grown).toMatchObject({
        state: expect.stringMatching(ended),
        error: { error: expect.stringMatching(/unavailable/i) },
      })
    } finally {
      await server.start()
    }
    await back()
    expect(readdirSync(folder).toSorted()).toEqual([markerName, 'kept.raw'])
    expect((await volumeRecords.all({ pool: id })).map((record) => record.name)).toEqual(['kept'])
    await insist('lost')
  })

  test('fails a copy whose server dies, with the reason, and leaves nothing of it', async () => {
    const folder = await create()
    await insist('from')
    await host.runChecked('qemu-io', ['-f', 'raw', '-c', 'write -P 1 0 192M', `${pathOf(await get())}/from.raw`])
    const clone = { id, volume: 'from', name: 'to', mode: 'full' }
    const started = (await horcrux.call(volumes, 'clone', clone as never, patient)) as unknown as { id: string }
    await until(() => readdirSync(folder).some((file) => file.startsWith('to.raw.')))
    await server.kill()
    const now = () => horcrux.call(operations, 'get', { id: started.id })
    // The driver gives up, and the undo meets the dead server too.
    await until(async () => (await now()).steps.some((step) => step.state === 'failed' || step.state === 'undoing'))
    await server.start()
    await back()
    await until(async () => (await now()).ended_at !== null)
    const { state, error } = await now()
    expect(state, JSON.stringify(error)).toMatch(ended)
    await until(() => readdirSync(folder).every((file) => !file.startsWith('to.')), { timeoutMs: 60_000 })
    expect((await volumeRecords.all({ pool: id })).map((record) => record.name)).toEqual(['from'])
  })
})
