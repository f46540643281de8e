import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pools } from '#shared/contracts/storage/pools.ts'
import { consoles } from '#shared/contracts/vm/consoles.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import type { HostProcess } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { startGuests } from '../../lab/guests/guests.ts'
import { guestOn } from '../../lab/guests/tiny-guest.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { done } from '../../lab/product/run-operation.ts'
import { available } from '../../lab/requirements.ts'
import { type LabCeph, missingForCeph, startCeph } from '../../lab/storage/ceph.ts'
import { until } from '../../lab/wait.ts'

const GiB = 2 ** 30
let count = 0
const [host] = labHosts
const machine = localHost()

describe.skipIf(!available('ceph', await missingForCeph()))('a guest with a disk in Ceph', () => {
  let lab: Awaited<ReturnType<typeof startGuests>>
  let ceph: LabCeph
  let tunnel: HostProcess | undefined
  beforeAll(async () => {
    ceph = await startCeph()
    // The lab host has a loopback of its own: its sshd listens there for the daemons of the cluster.
    const forwards = (await ceph.ports()).flatMap((port) => ['-R', `127.0.0.1:${port}:127.0.0.1:${port}`])
    const options = [
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'UserKnownHostsFile=/dev/null',
      '-o',
      'ExitOnForwardFailure=yes',
    ]
    const to = ['-i', host!.keyFile, `${host!.user}@${host!.address}`]
    tunnel = await machine.spawn('setpriv', ['--pdeathsig', 'KILL', 'ssh', '-N', ...options, ...forwards, ...to])
    tunnel.stdout.resume()
    lab = await startGuests(host!)
  })
  afterAll(async () => {
    await lab?.horcrux.stop()
    await tunnel?.kill()
    await machine.close()
  })

  test('sees and writes it; libvirt keeps the secret, and no definition has it', async () => {
    const given = await ceph.newPool()
    // Names of this try alone.
    const id = `far-${process.pid}-${count++}`
    const pool = `rbd-${id}`
    const patient = { timeoutMs: 60_000 }
    const create = () =>
      lab.horcrux.call(pools, 'create', { id: pool, type: 'ceph', nodes: ['hv1'], ...given }, patient)
    // The tunnel may take a moment.
    await until(() => create().catch(() => null), { what: 'the Ceph pool on the lab host' })
    const vm = { id, name: id, memory: 256, cpus: 1, node: 'hv1', boot: await guestOn(host!) }
    await done(lab.horcrux, vms, 'create', { ...vm, disks: [{ pool, size: GiB }], start: true })
    const serial = async () => (await lab.horcrux.call(vms, 'serial', { id })).text
    await until(async () => (await serial()).includes(`${guestPrefix} disk vda ${GiB}`), {
      what: 'the disk in the guest',
    })
    const line = "echo written-by-the-guest | dd of=/dev/vda bs=512 conv=sync,fsync && echo is-wr''itten"
    await lab.horcrux.call(consoles, 'write', { id, text: `${line}\n` })
    await until(async () => (await serial()).split(/\r?\n/).includes('is-written'), { what: 'the write' })
    const xml = await lab.virsh('dumpxml', '--security-info', id)
    expect(xml).toContain("protocol='rbd'")
    expect(xml).not.toContain(given.key)
    const { disks } = await lab.horcrux.call(vms, 'get', { id })
    const { source } = disks[0]!
    if (source.type !== 'network') throw new Error('the disk is no network image')
    expect(await lab.virsh('secret-list')).toContain(source.secret?.uuid)
    await expect(lab.virsh('secret-get-value', source.secret!.uuid)).rejects.toThrow(/private/)
    await done(lab.horcrux, vms, 'stop', { id, force: true })
    const image = join(host!.dir, `exported-${id}`)
    await ceph.admin('rbd', 'export', source.name, image)
    expect((await machine.readFile(image)).toString('latin1', 0, 20)).toBe('written-by-the-guest')
    await machine.remove(image)
    await done(lab.horcrux, vms, 'delete', { id, purge: true })
    expect(JSON.parse(await ceph.admin('rbd', 'ls', given.pool, '--format', 'json'))).toEqual(['horcrux+pool'])
    await lab.virsh('secret-undefine', source.secret!.uuid)
  })
})
