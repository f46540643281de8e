import type { Limits } from '#shared/contracts/container/parts.ts'
import { hierarchiesOf } from '#shared/nodes/host/cgroup/hierarchies.ts'
import { change, infoOf, type Named, pathOf } from '#shared/nodes/lxc/tools.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { configLine, limitKey, limitLines, limitsIn, parseConfig } from './config-file.ts'

/** The kernel's word for no limit, by file. */
const none: Record<string, string> = {
  'memory.limit_in_bytes': '-1',
  'memory.max': 'max',
  'cpu.cfs_quota_us': '-1',
  'cpu.max': 'max',
  'pids.max': 'max',
}
const fileOf = (key: string) => key.replace(/^lxc\.cgroup2?\./, '')

/** Changes limits: of a container that runs first, since the kernel may refuse; then in the configuration, for later starts. */
export async function changeLimits(named: Named, wanted: Partial<Limits>): Promise<void> {
  const { host } = named
  const path = `${pathOf(named)}/config`
  const text = (await host.readFile(path)).toString('utf8')
  const entries = parseConfig(text)
  const hierarchies = await hierarchiesOf(host)
  const lines = limitLines({ ...limitsIn(entries), ...wanted }, hierarchies)
  const before = limitLines(limitsIn(entries), hierarchies)
  const ended = before.filter(([key]) => !lines.some(([one]) => one === key) && none[fileOf(key)] !== undefined)
  if ((await infoOf(named))?.status !== 'stopped') {
    for (const [key, value] of lines)
      if (!before.some(([one, old]) => one === key && old === value))
        await change(named, 'lxc-cgroup', [fileOf(key), value])
    for (const [key] of ended) await change(named, 'lxc-cgroup', [fileOf(key), none[fileOf(key)]!])
  }
  // All other lines stay as others have written them.
  const kept = text.split('\n').filter((line) => !limitKey.test(parseConfig(line)[0]?.[0] ?? ''))
  await requireCurrent()
  const made = [kept.join('\n').trimEnd(), ...lines.map(([key, value]) => configLine(key, value))]
  await host.writeFile(path, `${made.join('\n')}\n`, { mode: 0o640 })
}
