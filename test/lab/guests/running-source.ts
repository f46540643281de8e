import { join } from 'node:path'
import { consoles } from '#shared/contracts/vm/consoles.ts'
import { guests } from '#shared/contracts/vm/guests.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { openConnection } from '#shared/nodes/libvirt/connection/connection.ts'
import { monitorCommand } from '#shared/nodes/libvirt/client/domain.ts'
import type { CloneLab } from './clones.ts'
import { guestOn } from './tiny-guest.ts'
import { until } from '../wait.ts'
import { done } from '../product/run-operation.ts'

const GiB = 2 ** 30

/** A running guest with a mounted ext4 file system and two bare disks, and the test's commands to it. */
export async function runningSource({ horcrux, lab, images }: CloneLab) {
  const libvirt = await openConnection(lab.uri)
  const virsh = async (...words: string[]) =>
    (await localHost().runChecked('virsh', ['-q', '-c', lab.uri, ...words])).stdout.trim()
  const serial = async (id: string) => (await horcrux.call(vms, 'serial', { id })).text
  const isUp = (id: string) =>
    until(async () => (await serial(id)).includes(`${guestPrefix} up`), { what: `guest ${id}` })
  return {
    virsh,
    serial,
    isUp,
    /**
     * Makes the guest and starts it.
     * @param how.filledMib so much of its last disk has data, at most 3000. A copy runs half a second before it can be
     *   slowed down, since libvirt begins it under the lock that its monitor needs: 2000 take longer
     * @param how.boots false for a guest without an operating system, which runs at once and writes nothing
     */
    make: async (id: string, { agent = true, filledMib = 0, boots = true } = {}): Promise<Vm> => {
      await done(horcrux, volumes, 'create', { id: 'images', name: `${id}-fs`, size: GiB, format: 'raw' })
      await localHost().runChecked('mkfs.ext4', ['-q', '-F', join(lab.dir, `pool/${id}-fs.raw`)])
      const disks = [
        { pool: 'images', volume: `${id}-fs` },
        { pool: 'images', size: GiB },
        { pool: 'images', size: filledMib > 900 ? 3 * GiB : GiB, format: 'raw' },
      ]
      const given = { memory: 256, cpus: 1, node: 'hv1', disks, ...(boots && { boot: await guestOn(lab, { agent }) }) }
      const vm = (await done(horcrux, vms, 'create', { id, name: id, ...given })) as Vm
      for (let at = 0; at < filledMib; at += 1000)
        await images.write(`${id}-disk-2.raw`, 0xb2, 64 + at, Math.min(1000, filledMib - at))
      await done(horcrux, vms, 'start', { id })
      if (!boots) return vm
      await isUp(id)
      const isConnected = async () => (await horcrux.call(guests, 'agent', { id })).connected
      if (agent) await until(isConnected, { what: 'the agent', intervalMs: 500 })
      return vm
    },
    /** Types a line, and waits for words that only its outcome has. */
    types: async (id: string, line: string, outcome: string) => {
      await horcrux.call(consoles, 'write', { id, text: `${line}\n` })
      await until(async () => (await serial(id)).includes(outcome), { what: `'${outcome}'` })
    },
    /** Has QEMU copy no faster than this, as soon as it copies; 0: as fast as it can. May be called before the copy. */
    limit: async (id: string, mibPerSecond: number) => {
      const uuid = await virsh('domuuid', id)
      // A copy at full speed may end before an external program could slow it down.
      const device = await until(
        async () => {
          const { return: jobs } = await monitorCommand(libvirt, uuid, { execute: 'query-block-jobs' })
          // The last disk is the one that takes long.
          return (jobs as { device: string }[]).find(({ device: job }) => job.includes('vdc'))?.device
        },
        { what: 'a copy', intervalMs: 1 },
      )
      const words = { device, speed: mibPerSecond * 2 ** 20 }
      await monitorCommand(libvirt, uuid, { execute: 'block-job-set-speed', arguments: words })
    },
    stop: () => libvirt.close(),
  }
}
