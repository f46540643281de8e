import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { sshHost } from '#shared/nodes/host/ssh/ssh.ts'
import { listDomains } from '#shared/nodes/libvirt/client/domain.ts'
import { hostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import { type LabHost, sshTarget, startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import { commandLine } from '../test/lab/hosts/processes.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const questions = 20
const timeoutMs = 1500

async function libvirtdOf({ netns }: LabHost): Promise<number> {
  const { stdout } = await localHost().runChecked('ip', ['netns', 'pids', netns])
  const pids = stdout.split('\n').filter(Boolean).map(Number)
  return pids.find((pid) => /^\S*libvirtd /.test(`${commandLine(pid)} `))!
}

/** Cost of a stopped libvirtd: for calls to it, for calls to another host, and for closing. */
async function hungLibvirt([healthyHost, hungHost]: LabHost[]): Promise<Row[]> {
  const connect = ({ name, uri }: LabHost) =>
    hostConnection({ host: name, resolveUri: async () => uri, timeoutMs, keepAliveSeconds: 1 })
  const [healthy, hung] = [connect(healthyHost!), connect(hungHost!)]
  const list = () => timed(() => listDomains(healthy))
  try {
    await Promise.all([listDomains(healthy), listDomains(hung)])
    const usual: number[] = []
    for (let round = 0; round < 50; round++) usual.push(await list())
    const pid = await libvirtdOf(hungHost!)
    process.kill(pid, 'SIGSTOP')
    const refused = timed(() => Promise.allSettled(Array.from({ length: questions }, () => listDomains(hung))))
    const beside: number[] = []
    const isOver = { value: false }
    void refused.then(() => (isOver.value = true))
    while (!isOver.value) beside.push(await list())
    const refusedMs = await refused
    const closeMs = await timed(() => hung.close())
    process.kill(pid, 'SIGCONT')
    return [
      {
        what: 'calls to a libvirtd that hangs fail, over their limit',
        value: refusedMs / timeoutMs,
        unit: 'x',
        below: 1.6,
      },
      { what: 'calls to another host meanwhile, over the usual', value: median(beside) / median(usual), unit: 'x' },
      { what: 'the longest of them', value: Math.max(...beside), unit: 'ms', below: 1400 },
      { what: 'closing the connection to it', value: closeMs, unit: 'ms', below: 900 },
    ]
  } finally {
    await Promise.all([healthy.close(), hung.close()])
  }
}

/** A cable that is pulled while a program runs over SSH, until the program is given up. */
async function brokenCable(lab: LabHost): Promise<Row> {
  const host = sshHost(sshTarget(lab))
  const cable = (state: string) => localHost().runChecked('ip', ['link', 'set', lab.link, state])
  try {
    await host.run('true', [])
    const run = host.run('sleep', ['3600'], { timeoutMs: 3_600_000 }).catch(() => undefined)
    await cable('down')
    const seconds = (await timed(() => run)) / 1000
    return { what: 'a broken cable until SSH gives up', value: seconds, unit: 's', below: 15 }
  } finally {
    await cable('up')
    await host.close()
  }
}

/** Hosts that do not answer. */
export async function benchHang(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  try {
    const hosts = await startHosts(join(dir, 'hosts'), 2)
    return [...(await hungLibvirt(hosts)), await brokenCable(hosts[0]!)]
  } finally {
    await stopHosts(join(dir, 'hosts'))
    await rm(dir, { recursive: true, force: true })
  }
}
