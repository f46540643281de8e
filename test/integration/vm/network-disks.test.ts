import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
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
import { missingForCeph, startCeph } from '../../lab/storage/ceph.ts'
import { storageLabs } from '../../lab/storage/labs.ts'
import { missingFor } from '../../lab/storage/servers/servers.ts'
import { until } from '../../lab/wait.ts'

const GiB = 2 ** 30
const MiB = 2 ** 20
const [host] = labHosts
const machine = localHost()
const patient = { timeoutMs: 60_000 }

/** Kinds whose disks a guest reaches over the network, in QEMU itself. */
type Kind = {
  type: PoolType
  protocol: string
  missing: readonly string[]
  /** A request of a storage pool, its secret, and the ports of its servers on this machine's loopback. */
  given: () => Promise<{ request: Record<string, unknown>; secret: string; ports: number[] }>
  /** Reads the beginning of an image. */
  read: (name: string, file: string) => Promise<unknown>
}

const kinds: Kind[] = [
  {
    type: 'ceph',
    protocol: 'rbd',
    missing: await missingForCeph(),
    given: async () => {
      const ceph = await startCeph()
      const request = await ceph.newPool()
      return { request, secret: request.key, ports: await ceph.ports() }
    },
    read: async (name, file) => (await startCeph()).admin('rbd', 'export', name, file),
  },
  {
    type: 'iscsi',
    protocol: 'iscsi',
    missing: await missingFor('iscsi'),
    given: async () => {
      const request = await (await storageLabs.iscsi())!.given()
      return { request, secret: request.password!, ports: [request.port!] }
    },
    // Filled in by the test, which knows the request.
    read: async () => undefined,
  },
]
let count = 0

describe.each(kinds.filter(({ type, missing }) => available(type, missing)))(
  'a guest with a disk in a storage pool of kind $type',
  ({ type, protocol, given, read }) => {
    let lab: Awaited<ReturnType<typeof startGuests>>
    let tunnel: HostProcess | undefined
    let made: Awaited<ReturnType<Kind['given']>>
    beforeAll(async () => {
      made = await given()
      // The lab host has a loopback of its own: its sshd listens there for the servers.
      const forwards = made.ports.flatMap((port) => ['-R', `127.0.0.1:${port}:127.0.0.1:${port}`])
      const unknown = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null']
      const words = [...unknown, '-o', 'ExitOnForwardFailure=yes', ...forwards, '-i', host!.keyFile]
      const to = `${host!.user}@${host!.address}`
      tunnel = await machine.spawn('setpriv', ['--pdeathsig', 'KILL', 'ssh', '-N', ...words, to])
      tunnel.stdout.resume()
      lab = await startGuests(host!)
    })
    afterAll(async () => {
      await lab?.horcrux.stop()
      await tunnel?.kill()
    })

    test('sees and writes it; libvirt keeps the secret, and no definition has it', async () => {
      const id = `far-${type}-${process.pid}-${count++}`
      const create = () =>
        lab.horcrux.call(pools, 'create', { id, type, nodes: ['hv1'], ...made.request } as never, patient)
      // The tunnel may take a moment.
      const pool = await until(() => create().catch(() => null), { what: 'the storage pool on the lab host' })
      const makes = pool.capabilities.default_format !== null
      if (!makes) await done(lab.horcrux, volumes, 'scan', { id })
      const [unit] = (await lab.horcrux.call(volumes, 'list', { id }, patient)).data
      const disk = makes ? { pool: id, size: GiB } : { pool: id, volume: unit!.name }
      const size = makes ? GiB : unit!.size_bytes
      const vm = { id, name: id, memory: 256, cpus: 1, node: 'hv1', boot: await guestOn(host!) }
      await done(lab.horcrux, vms, 'create', { ...vm, disks: [disk], start: true })
      const serial = async () => (await lab.horcrux.call(vms, 'serial', { id })).text
      await until(async () => (await serial()).includes(`${guestPrefix} disk vda ${size}`), { what: 'the disk' })
      const line = "echo written-by-the-guest | dd of=/dev/vda bs=512 conv=sync,fsync && echo is-wr''itten"
      await lab.horcrux.call(consoles, 'write', { id, text: `${line}\n` })
      await until(async () => (await serial()).split(/\r?\n/).includes('is-written'), { what: 'the write' })
      const xml = await lab.virsh('dumpxml', '--security-info', id)
      expect(xml).toContain(`protocol='${protocol}'`)
      expect(xml).not.toContain(made.secret)
      const { source } = (await lab.horcrux.call(vms, 'get', { id })).disks[0]!
      if (source.type !== 'network') throw new Error('the disk is no network image')
      expect(await lab.virsh('secret-list')).toContain(source.secret?.uuid)
      await expect(lab.virsh('secret-get-value', source.secret!.uuid)).rejects.toThrow(/private/)
      const { stdout } = await machine.runChecked('ps', ['-eo', 'args'])
      expect(stdout).not.toContain(made.secret)
      await done(lab.horcrux, vms, 'stop', { id, force: true })
      const image = join(host!.dir, `exported-${id}`)
      if (makes) await read(source.name, image)
      else {
        // A copy in another storage pool reads it through QEMU's own client.
        await done(lab.horcrux, vms, 'delete', { id })
        await done(lab.horcrux, volumes, 'clone', {
          id,
          volume: unit!.name,
          name: `copy-${id}`,
          mode: 'full',
          pool: 'images',
          format: 'raw',
        })
        const copy = await lab.horcrux.call(volumes, 'get', { id: 'images', volume: `copy-${id}` })
        const words = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-i', host!.keyFile]
        const head = `head -c 1M ${copy.path}`
        const { bytes } = await machine.runChecked('ssh', [...words, `${host!.user}@${host!.address}`, head])
        await machine.writeFile(image, bytes)
        expect(copy.size_bytes).toBe(64 * MiB)
      }
      expect((await machine.readFile(image)).toString('latin1', 0, 20)).toBe('written-by-the-guest')
      await machine.remove(image)
      await lab.virsh('secret-undefine', source.secret!.uuid)
    })
  },
)
