import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { operations } from '#shared/contracts/core/operations.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { forwardSocket } from '#shared/nodes/host/forward.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { sshHost } from '#shared/nodes/host/ssh/ssh.ts'
import { order } from '#shared/nodes/libvirt/client/domain.ts'
import { openConnection } from '#shared/nodes/libvirt/connection/connection.ts'
import { type MovingLab, startMoving } from '../test/lab/guests/moving.ts'
import { sshTarget, startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import { done } from '../test/lab/product/run-operation.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const MiB = 2 ** 20
/** Of both ways, MiB/s: the usual limit of Horcrux. */
const bandwidth = 100
/** Pairs of moves, with TORTURE enough of them to judge forecasts. */
const rounds = process.env['TORTURE'] ? 25 : 6
const [diskMib, dataMib] = [1024, 96]
const pool = '/var/lib/libvirt/images/pool'

/** Milliseconds of one move: until it has ended, and those in which the guest stood still. */
type Moved = { wall: number; pause: number }
type Node = 'hv1' | 'hv2'
const other = (node: Node): Node => (node === 'hv1' ? 'hv2' : 'hv1')

/** A domain like that of a VM, which Horcrux does not know, and its moves by virsh. */
async function byHand(lab: MovingLab, id: string, name: string, dir: string) {
  const machine = localHost()
  const text = await lab.virsh('hv1', 'dumpxml', '--inactive', id)
  const own = text
    .replaceAll(/<(serial|console|channel)\b[\s\S]*?<\/\1>/g, '')
    .replace(/<uuid>[^<]*/, `<uuid>${randomUUID()}`)
    .replace(/<name>[^<]*/, `<name>${name}`)
    .replaceAll(`${id}-disk-0`, name)
    .replaceAll(/<mac [^>]*>/g, '')
  const file = join(dir, `${name}.xml`)
  await writeFile(file, own)
  const disk = (node: Node) => lab.fileOf(node, `${name}.qcow2`)
  const hasDisk = own.includes(`${pool}/${name}.qcow2`)
  if (hasDisk) {
    await machine.runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', disk('hv1'), `${diskMib}M`])
    await machine.runChecked('qemu-io', ['-f', 'qcow2', '-c', `write -P 7 0 ${dataMib}M`, disk('hv1')])
  }
  const { hosts } = lab
  const virsh = (node: Node, ...words: string[]) =>
    machine.runChecked('virsh', ['-q', '-c', hosts[node].uri, ...words], { timeoutMs: 300_000 })
  await virsh('hv1', 'define', file)
  await virsh('hv1', 'start', name)
  return async (from: Node): Promise<Moved> => {
    const to = other(from)
    if (hasDisk) await machine.runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', disk(to), `${diskMib}M`])
    const copies = hasDisk ? ['--copy-storage-all', '--migrate-disks', 'vda', '--copy-storage-synchronous-writes'] : []
    const words = ['--live', '--persistent', '--undefinesource', '--bandwidth', String(bandwidth), ...copies]
    const ends = [name, hosts[to].uri, `tcp://${hosts[to].address}`]
    const wall = await timed(() => virsh(from, 'migrate', ...words, ...ends))
    if (hasDisk) await rm(disk(from))
    const { stdout } = await virsh(to, 'domjobinfo', name, '--completed')
    return { wall, pause: Number(/Total downtime:\s+(\d+)/.exec(stdout)?.[1] ?? Number.NaN) }
  }
}

/** Moves a VM by the API. The wall is that of its transfer: the checks and the forecast before it, and the checks of its health, are no move. */
async function byApi({ horcrux }: MovingLab, vm_id: string, from: Node): Promise<Moved & { whole: number }> {
  const wanted = { vm_id, target_node: other(from), migration_type: 'live', bandwidth_limit: bandwidth }
  const whole = await timed(() => done(horcrux, migrations, 'start', wanted))
  const { data } = await horcrux.call(operations, 'list', { filter: 'kind:moves.transfer' })
  const { statistics } = await horcrux.call(migrations, 'status', { vm_id })
  const { started_at, ended_at } = data[0]!
  return {
    wall: Date.parse(ended_at!) - Date.parse(started_at!),
    pause: statistics?.downtime_ms ?? Number.NaN,
    whole,
  }
}

/** Both ways in turn, each first every other time. */
async function compare(lab: MovingLab, what: string, disks: unknown[], dir: string): Promise<Row[]> {
  const id = `bench-${disks.length}`
  await lab.make(id, { memory: 256, disks })
  if (disks.length > 0) await lab.write('hv1', `${id}-disk-0.qcow2`, dataMib)
  await done(lab.horcrux, vms, 'start', { id })
  const virshMoves = await byHand(lab, id, `by-hand-${disks.length}`, dir)
  const [ours, theirs]: [Awaited<ReturnType<typeof byApi>>[], Moved[]] = [[], []]
  let at: Node = 'hv1'
  // One round warms both up.
  for (let round = -1; round < rounds; round++) {
    const before = at
    const api = async () =>
      round < 0 ? void (await byApi(lab, id, before)) : void ours.push(await byApi(lab, id, before))
    const hand = async () => (round < 0 ? void (await virshMoves(before)) : void theirs.push(await virshMoves(before)))
    for (const each of round % 2 === 0 ? [api, hand] : [hand, api]) await each()
    at = other(before)
  }
  const of = (all: Moved[], key: keyof Moved) => median(all.map((each) => each[key]))
  const longer = ours.filter(({ pause }, round) => pause > theirs[round]!.pause).length
  return [
    { what: `${what}: by the API, transfer`, value: of(ours, 'wall'), unit: 'ms' },
    { what: `${what}: by virsh migrate`, value: of(theirs, 'wall'), unit: 'ms' },
    { what: `${what}: API over virsh`, value: of(ours, 'wall') / of(theirs, 'wall'), unit: 'x', below: 1.1 },
    {
      what: `${what}: whole migration by the API, with its checks`,
      value: median(ours.map(({ whole }) => whole)),
      unit: 'ms',
    },
    { what: `${what}: pause by the API`, value: of(ours, 'pause'), unit: 'ms' },
    { what: `${what}: pause by virsh migrate`, value: of(theirs, 'pause'), unit: 'ms' },
    { what: `${what}: pause, API over virsh`, value: of(ours, 'pause') / of(theirs, 'pause'), unit: 'x', below: 1.1 },
    { what: `${what}: rounds of ${rounds} with the longer pause by the API`, value: longer, unit: '' },
  ]
}

const suspensions = 30

/**
 * A call whose reply comes behind an event, such as the end of a move, over a new SSH connection that only forwards libvirt's
 * socket, and over TCP. Nagle's algorithm at the other end would cost 40 ms each time.
 */
async function repliesBehindEvents(lab: MovingLab, id: string): Promise<Row[]> {
  const at = lab.hosts[(await lab.vm(id)).node as Node]
  const uuid = (await lab.virsh((await lab.vm(id)).node as Node, 'domuuid', id)).trim()
  const host = sshHost(sshTarget(at))
  const forward = await forwardSocket(host, { path: '/run/libvirt/libvirt-sock' })
  const uris = [`qemu+unix:///system?socket=${encodeURIComponent(forward.path)}`, at.uri]
  const both = await Promise.all(uris.map((uri) => openConnection(uri, { onEvent: () => undefined })))
  try {
    const times: number[][] = [[], []]
    for (const libvirt of both) await libvirt.listen(['lifecycle'])
    for (let count = 0; count < suspensions; count++)
      for (const [index, libvirt] of both.entries()) {
        times[index]!.push(await timed(() => order(libvirt, uuid, 'virDomainSuspend')))
        await order(libvirt, uuid, 'virDomainResume')
        // A connection that was in use a moment ago acknowledges at once.
        await delay(60)
      }
    const [ssh, tcp] = times.map(median)
    return [
      { what: 'a suspension with its event over SSH', value: ssh!, unit: 'ms' },
      { what: 'a suspension with its event over TCP', value: tcp!, unit: 'ms' },
      { what: 'a suspension over SSH, more than over TCP', value: ssh! - tcp!, unit: 'ms', below: 30 },
    ]
  } finally {
    for (const libvirt of both) await libvirt.close()
    await forward.close()
    await host.close()
  }
}

/** Live moves between two hosts by the API and by `virsh migrate`, and the forecasts of the former. */
export async function benchMigrate(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-migrate-'))
  const hosts = await startHosts(join(dir, 'hosts'), 2)
  const lab = await startMoving(hosts)
  try {
    const rows = await compare(lab, 'no disks', [], dir)
    rows.push(...(await compare(lab, `disk with ${dataMib} MiB`, [{ pool: 'here', size: diskMib * MiB }], dir)))
    rows.push(...(await repliesBehindEvents(lab, 'bench-0')))
    const { forecasts } = await lab.horcrux.call(migrations, 'statistics', {})
    const { compared, seconds_within, pause_within } = forecasts
    return [
      ...rows,
      {
        what: `times of ${compared} moves within their forecasts`,
        value: (100 * seconds_within) / compared,
        unit: '%',
        atLeast: 85,
      },
      { what: `pauses of ${compared} moves within their forecasts`, value: (100 * pause_within) / compared, unit: '%' },
    ]
  } finally {
    await lab.stop()
    await stopHosts(join(dir, 'hosts'))
    await rm(dir, { recursive: true, force: true })
  }
}
