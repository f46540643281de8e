import type { Host } from '#shared/nodes/host/host.ts'
import { missing } from './find-requirement.ts'
import type { Requirement } from './requirements.ts'

const installMs = 15 * 60_000
const policyFile = '/usr/sbin/policy-rc.d'
const policyMark = '# By Horcrux, while it installs packages'

export type Installation = { installed: string[]; stillMissing: Requirement[]; problem: string | null }

/**
 * Installs the missing packages of the list if this is Debian and we are root; otherwise only reports them. Installed
 * daemons are not started (such as a NATS server on its default port). `say` gets a line for the user before long
 * steps.
 */
export async function install(
  host: Host,
  list: readonly Requirement[],
  say: (line: string) => void,
): Promise<Installation> {
  const wanted = await missing(host, list)
  if (wanted.length === 0) return { installed: [], stillMissing: [], problem: null }
  const packages = packagesOf(wanted)
  if (!(await mayInstall(host))) return { installed: [], stillMissing: wanted, problem: null }
  say(`Installing ${packages.join(', ')} with apt-get ...`)
  const problem = await withoutServiceStarts(host, () => aptInstall(host, packages))
  const stillMissing = await missing(host, wanted)
  return { installed: packagesOf(wanted.filter((one) => !stillMissing.includes(one))), stillMissing, problem }
}

export const packagesOf = (list: readonly Requirement[]): string[] => [...new Set(list.flatMap(({ debian }) => debian))]

async function mayInstall(host: Host): Promise<boolean> {
  return process.getuid?.() === 0 && (await host.which('apt-get')) !== null
}

/** @returns the error output of apt-get, or null */
async function aptInstall(host: Host, packages: string[]): Promise<string | null> {
  if (!(await hasLists(host))) await apt(host, ['update'])
  const first = await apt(host, ['install', ...packages])
  if (first === null) return null
  // Outdated lists name versions that the mirror no longer has.
  await apt(host, ['update'])
  return apt(host, ['install', ...packages])
}

async function apt(host: Host, words: string[]): Promise<string | null> {
  const options = ['-qq', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=600']
  const { code, stdout, stderr } = await host.run('apt-get', [...options, ...words], {
    env: { DEBIAN_FRONTEND: 'noninteractive' },
    timeoutMs: installMs,
  })
  return code === 0 ? null : (stderr.trim() || stdout.trim()).slice(-2000)
}

async function hasLists(host: Host): Promise<boolean> {
  return (await host.list('/var/lib/apt/lists').catch(() => [])).some(({ name }) => name.includes('_Packages'))
}

/**
 * Runs `work` with a policy-rc.d that denies daemon starts (exit code 101, see invoke-rc.d(8)). An existing policy
 * stays.
 */
async function withoutServiceStarts<T>(host: Host, work: () => Promise<T>): Promise<T> {
  const there = (await host.stat(policyFile)) ? (await host.readFile(policyFile)).toString() : null
  const isOurs = there === null || there.includes(policyMark)
  if (isOurs) await host.writeFile(policyFile, `#!/bin/sh\n${policyMark}\nexit 101\n`, { mode: 0o755 })
  try {
    return await work()
  } finally {
    if (isOurs) await host.remove(policyFile)
  }
}
