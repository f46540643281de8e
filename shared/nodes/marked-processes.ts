import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '#shared/errors.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { type Cgroup, cgroupOf, processesFolderOf } from './host/cgroup/cgroup.ts'
import type { Host } from './host/host.ts'

/** Rounds of killing: a process may fork while it is looked for. */
const rounds = 20
const pauseMs = 20

/** The process ids in a control group and in those below it. */
async function pidsIn(host: Host, folder: string): Promise<string[]> {
  const own = await host.readFile(`${folder}/cgroup.procs`).then(String, noneIfGone(''))
  const below = (await host.list(folder).catch(noneIfGone([]))).filter(({ kind }) => kind === 'directory')
  const all = await Promise.all(below.map(({ name }) => pidsIn(host, `${folder}/${name}`)))
  return [...own.split('\n').filter(Boolean), ...all.flat()]
}

const noneIfGone =
  <T>(none: T) =>
  (error: unknown): T => {
    if (error instanceof AppError) return none
    throw error
  }

/** The processes of a group whose environment has this line. */
async function marked(host: Host, cgroup: Cgroup, mark: string): Promise<string[]> {
  const folder = processesFolderOf(cgroup)
  const files = folder === null ? [] : (await pidsIn(host, folder)).map((pid) => `/proc/${pid}/environ`)
  if (files.length === 0) return []
  const words = ['--files-with-matches', '--no-messages', '--null-data', '--line-regexp', '--fixed-strings', '-e', mark]
  const { stdout } = await host.run('grep', [...words, '--', ...files])
  return stdout.split('\n').flatMap((path) => /^\/proc\/(\d+)\//.exec(path)?.[1] ?? [])
}

/**
 * Kills the processes of a container that have a line in their environment, and all that inherited it, also those that
 * have become daemons. Engines cannot kill a command that they have started in a container.
 * @param pid the container's first process
 */
export async function killMarked(host: Host, pid: number, mark: string): Promise<void> {
  const cgroup = await cgroupOf(host, pid)
  if (!cgroup) return
  for (let round = 0; round < rounds; round++) {
    const found = await marked(host, cgroup, mark)
    if (found.length === 0) return
    await requireCurrent()
    await host.run('kill', ['-KILL', ...found])
    await delay(pauseMs)
  }
}

/**
 * Sends a signal to the marked processes whose parents are not marked: to the command itself, and to what has outlived its
 * parent.
 * @param pid the container's first process
 */
export async function signalMarked(host: Host, pid: number, mark: string, signal: string): Promise<void> {
  const cgroup = await cgroupOf(host, pid)
  const found = cgroup ? await marked(host, cgroup, mark) : []
  const parents = found.map(async (one) => ({ one, parent: await parentOf(host, one) }))
  const roots = (await Promise.all(parents)).flatMap(({ one, parent }) =>
    parent === null || found.includes(parent) ? [] : [one],
  )
  if (roots.length === 0) return
  await requireCurrent()
  await host.run('kill', [`-${signal}`, ...roots])
}

/** The parent of a process; null when it is gone. */
async function parentOf(host: Host, pid: string): Promise<string | null> {
  const status = await host.readFile(`/proc/${pid}/status`).then(String, noneIfGone(''))
  return /^PPid:\s*(\d+)$/m.exec(status)?.[1] ?? null
}
