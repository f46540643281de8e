import type { ContainerStatus } from '#shared/contracts/container/parts.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host, RunResult } from '../host/host.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'

/** One of LXC's containers: a folder in LXC's folder. */
export type Named = { host: Host; folder: string; name: string }

/** The folder of a container. @throws NotFoundError for a name that is no folder's: it would lead elsewhere */
export function pathOf({ folder, name }: Pick<Named, 'folder' | 'name'>): string {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0'))
    throw new NotFoundError(`LXC has no container '${name}'`)
  return `${folder}/${name}`
}

/** The name stands in the same argument as its option, so that one that begins with a hyphen is no option. */
const words = ({ folder, name }: Named, more: string[]) => [`--lxcpath=${folder}`, `--name=${name}`, ...more]

/** Runs a tool that changes a container. @throws ConflictError with the tool's words */
export async function change(named: Named, tool: string, more: string[] = [], timeoutMs = 60_000): Promise<void> {
  pathOf(named)
  await requireCurrent()
  const result = await named.host.run(tool, words(named, more), { timeoutMs })
  if (result.code !== 0) throw refusal(tool, named, result)
}

function refusal(tool: string, { name }: Named, { code, stderr, stdout }: RunResult): ConflictError {
  const said = `${stderr}${stdout}`.trim().split('\n').slice(-3).join(' ')
  return new ConflictError(`${tool} of '${name}' failed: ${said || `exit code ${code}`}`)
}

export type Info = { status: ContainerStatus; pid: number | null; addresses: string[] }

const statuses: Record<string, ContainerStatus> = {
  STOPPED: 'stopped',
  STARTING: 'running',
  RUNNING: 'running',
  STOPPING: 'running',
  ABORTING: 'running',
  FREEZING: 'paused',
  FROZEN: 'paused',
  THAWED: 'running',
}

/** The state of a container; null when LXC does not know it. */
export async function infoOf(named: Named): Promise<Info | null> {
  pathOf(named)
  const { code, stdout } = await named.host.run('lxc-info', words(named, ['--state', '--pid', '--ips']))
  if (code !== 0) return null
  return infoIn(stdout)
}

/** Lines such as `State: RUNNING`, `PID: 12`, and `IP: 10.0.3.5` for each address. */
export function infoIn(stdout: string): Info {
  const valuesOf = (key: string) =>
    stdout.split('\n').flatMap((line) => (line.startsWith(`${key}:`) ? [line.slice(key.length + 1).trim()] : []))
  const pid = Number(valuesOf('PID')[0])
  return {
    status: statuses[valuesOf('State')[0] ?? ''] ?? 'unknown',
    pid: pid > 0 ? pid : null,
    addresses: valuesOf('IP'),
  }
}
