import { mkdir, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { type LabHost, missingForHosts, startHosts, stopHosts } from './hosts.ts'
import { type LabNats, missingForNats, startNats } from './nats.ts'
import { startTime } from './processes.ts'
import { available } from './requirements.ts'

/** What the system tests stand on, once per run. Without libvirt there are no hosts, without nats-server no nats. */
export type Lab = {
  /** For files of the run; removed at its end. */
  dir: string
  /** Two, or none. */
  hosts: LabHost[]
  nats: LabNats | null
}

declare module 'vitest' {
  interface ProvidedContext {
    lab: Lab
  }
}

const PREFIX = 'horcrux-test-'
let takeDown: (() => Promise<void>)[] = []

export async function setup(project: TestProject): Promise<void> {
  await removeLeftFolders()
  const dir = join(tmpdir(), `${PREFIX}${process.pid}-${startTime(process.pid)}`)
  await mkdir(dir, { mode: 0o700 })
  takeDown = [() => rm(dir, { recursive: true, force: true })]
  try {
    const [hosts, nats] = await Promise.all([labHosts(join(dir, 'hosts')), labNats(join(dir, 'nats'))])
    project.provide('lab', { dir, hosts, nats })
  } catch (error) {
    await teardown()
    throw error
  }
}

export async function teardown(): Promise<void> {
  // The folder, which is first, goes last.
  for (const undo of takeDown.toReversed()) await undo()
  takeDown = []
}

async function labHosts(dir: string): Promise<LabHost[]> {
  // A lab host is both: a hypervisor, and a machine that is reached over SSH.
  const missing = await missingForHosts()
  if (!available('libvirt', missing) || !available('ssh', missing)) return []
  takeDown.push(() => stopHosts(dir))
  return startHosts(dir)
}

async function labNats(dir: string): Promise<LabNats | null> {
  if (!available('nats', await missingForNats())) return null
  const { stop, ...nats } = await startNats(dir)
  takeDown.push(stop)
  return nats
}

/** Folders of runs that were killed. Their NATS server died with them; hosts.sh takes their hosts down at the next up. */
async function removeLeftFolders(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const [, pid, start] = /^horcrux-test-(\d+)-(\d+)$/.exec(name) ?? []
    if (!pid || startTime(Number(pid)) === start) continue
    await stopHosts(join(tmpdir(), name, 'hosts')).catch(() => {})
    await rm(join(tmpdir(), name), { recursive: true, force: true })
  }
}
