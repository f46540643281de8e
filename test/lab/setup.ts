import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { ensurePage } from '../../bin/page.ts'
import { stopEngines } from './containers/stop.ts'
import { stopHosts } from './hosts/hosts.ts'
import { startTime } from './hosts/processes.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** A folder for files of the run, which goes with it, and the process that ends when the run does. */
    run: { dir: string; pid: number }
  }
}

const PREFIX = 'horcrux-test-'
const runDir = join(tmpdir(), `${PREFIX}${process.pid}-${startTime(process.pid)}`)

/** Called by vitest once for each project of a run. */
export async function setup(project: TestProject): Promise<void> {
  await Promise.all([removeLeftFolders(), ensurePage()])
  // Containers run as other users, and pass through it.
  await mkdir(runDir, { recursive: true, mode: 0o711 })
  project.provide('run', { dir: runDir, pid: process.pid })
}

export const teardown = (): Promise<void> => remove(runDir)

async function remove(dir: string): Promise<void> {
  const names = await readdir(dir).catch(() => [])
  for (const name of names.filter((one) => one.startsWith('hosts-'))) await stopHosts(join(dir, name))
  await stopEngines(join(dir, 'e'))
  for (const name of names.filter((one) => one.startsWith('storage-node-'))) await endStorageNode(join(dir, name))
  await rm(dir, { recursive: true, force: true })
}

/** Ends the guest that a run has started in this folder. */
async function endStorageNode(dir: string): Promise<void> {
  const pid = Number(await readFile(join(dir, 'pid'), 'utf8').catch(() => '0'))
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  // The number may be of another process by now.
  if (pid > 0 && command.includes(dir)) process.kill(pid, 'SIGKILL')
}

/** Removes folders of killed runs. Their processes died with them, except those of the lab hosts. */
async function removeLeftFolders(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const [, pid, start] = /^horcrux-test-(\d+)-(\d+)$/.exec(name) ?? []
    if (pid && startTime(Number(pid)) !== start) await remove(join(tmpdir(), name)).catch(() => {})
  }
}
