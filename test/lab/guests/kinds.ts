import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { operations } from '#shared/contracts/core/operations.ts'
import type { Contract, Params } from '#shared/contract/contract.ts'
import type { Operation } from '#shared/contracts/core/operations.ts'
import { consoles } from '#shared/contracts/vm/consoles.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { sshHost } from '#shared/nodes/host/ssh/ssh.ts'
import { guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { sshTarget, type LabHost } from '../hosts/hosts.ts'
import { forwardLoopback } from '../hosts/loopback-ports.ts'
import { available } from '../requirements.ts'
import { missingForCeph, startCeph } from '../storage/ceph.ts'
import { until } from '../wait.ts'
import { startCloneLab } from './clones.ts'
import { guestOn } from './tiny-guest.ts'

const patient = { timeoutMs: 60_000 }
const waitMs = 280_000

/** Mounts a new file system in a folder of a lab host, which has no loop devices. @returns a function that ends it */
export async function mountOn(host: LabHost, folder: string, type: 'btrfs' | 'xfs', sizeBytes: number) {
  const [machine, node] = [localHost(), sshHost(sshTarget(host))]
  const base = await mkdtemp(join(tmpdir(), 'horcrux-loop-'))
  const file = join(base, 'image')
  await machine.runChecked('truncate', ['-s', String(sizeBytes), file])
  await machine.runChecked(`mkfs.${type}`, ['-q', file])
  const device = (await machine.runChecked('losetup', ['-f', '--show', file])).stdout.trim()
  const number = device.replace('/dev/loop', '')
  const there = `/dev/horcrux-loop${number}`
  await node.runChecked('mknod', [there, 'b', '7', number])
  await node.mkdir(folder)
  await node.runChecked('mount', ['-t', type, there, folder])
  return async () => {
    await until(async () => (await node.run('umount', [folder])).code === 0, { what: `the end of ${folder}` })
    await node.remove(there)
    await machine.run('losetup', ['-d', device])
    await rm(base, { recursive: true, force: true })
    await Promise.all([machine.close(), node.close()])
  }
}

/** Programs without which guests have disks on fewer kinds of storage; said aloud. */
export const hasKinds =
  available('btrfs', (await localHost().which('mkfs.btrfs')) ? [] : ['mkfs.btrfs']) &&
  available('ceph', await missingForCeph())

let count = 0

/** A lab of guests with pools on each kind of storage that a hypervisor of the lab reaches: `images`, `sub` and `rbd`. */
export async function startKindsLab() {
  const lab = await startCloneLab()
  const { horcrux, lab: host } = lab
  const undo: (() => Promise<unknown>)[] = [lab.stop]
  const folder = `/var/lib/libvirt/images/sub-${process.pid}-${count++}`
  undo.unshift(await mountOn(host, folder, 'btrfs', 3 * 2 ** 30))
  const ceph = await startCeph()
  undo.unshift(await forwardLoopback(host, await ceph.ports()))
  await horcrux.call(pools, 'create', { id: 'sub', type: 'btrfs', node: 'hv1', path: `${folder}/pool` })
  await horcrux.call(pools, 'create', { id: 'rbd', type: 'ceph', ...(await ceph.newPool()), nodes: ['hv1'] }, patient)
  const serial = async (id: string) => (await horcrux.call(vms, 'serial', { id })).text

  /** Waits for the end of an operation, however busy the machine is. */
  async function ended<C extends Contract, K extends keyof C['actions'] & string>(
    contract: C,
    action: K,
    params: Params<C, K> | Record<string, unknown>,
  ): Promise<Operation> {
    const { id } = (await horcrux.call(contract, action, params, patient)) as unknown as Operation
    return until(
      async () => {
        const found = await horcrux.call(operations, 'wait', { id, timeout: 30 }, patient)
        return ['succeeded', 'failed', 'cancelled'].includes(found.state) ? found : undefined
      },
      { what: `the end of ${action}`, timeoutMs: waitMs },
    )
  }
  const done = async <C extends Contract, K extends keyof C['actions'] & string>(
    contract: C,
    action: K,
    params: Params<C, K> | Record<string, unknown>,
  ) => {
    const found = await ended(contract, action, params)
    if (found.state !== 'succeeded') throw new Error(`${found.kind} ${found.state}: ${JSON.stringify(found.error)}`)
    return found.result
  }
  return {
    ...lab,
    ceph,
    folder,
    ended,
    done,
    serial,
    /** Makes a guest and starts it. */
    make: async (id: string, disks: object[]): Promise<Vm> => {
      const boot = await guestOn(host, { agent: false })
      const given = { id, name: id, memory: 256, cpus: 1, node: 'hv1', disks, boot, start: true }
      const vm = (await done(vms, 'create', given)) as Vm
      await until(async () => (await serial(id)).includes(`${guestPrefix} up`), { what: `guest ${id}` })
      return vm
    },
    start: async (id: string) => {
      await done(vms, 'start', { id })
      await until(async () => (await serial(id)).includes(`${guestPrefix} up`), { what: `guest ${id}` })
    },
    switchOff: (id: string) => done(vms, 'stop', { id, force: true }),
    /** Types a line, and waits for words that only its outcome has. */
    types: async (id: string, line: string, outcome: string) => {
      await horcrux.call(consoles, 'write', { id, text: `${line}\n` })
      await until(async () => (await serial(id)).includes(outcome), { what: `'${outcome}'`, timeoutMs: 120_000 })
    },
    stop: async () => {
      for (const each of undo) await each()
    },
  }
}
