import { availableParallelism, freemem, totalmem, userInfo } from 'node:os'
import type { Config } from '#shared/config/config.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { accelerator } from '#shared/nodes/accelerator.ts'
import { find, versionOf } from './find-requirement.ts'
import { isLibvirtUp } from './libvirtd.ts'
import { isNeeded, type Requirement, requirements } from './requirements.ts'

export type Finding = {
  name: string
  state: 'ok' | 'missing' | 'note'
  /** True if Horcrux does not start, or runs no guests, without it. */
  needed: boolean
  found: string
  needed_for: string
  /** Advice for the user. */
  help: string
}

export type Diagnosis = { healthy: boolean; findings: Finding[] }

const lowDiskBytes = 5 * 2 ** 30

/** Checks the requirements of this machine. Starts and changes nothing. */
export async function diagnose(host: Host, config: Config): Promise<Diagnosis> {
  const listed = await Promise.all(
    requirements
      .filter(({ level, unless }) => level !== 'test' && !(unless && config[unless]))
      .map((one) => look(host, one)),
  )
  const findings = [...machine(), await guests(host, config), await disk(host, config), await libvirt(host), ...listed]
  return { healthy: findings.every(({ state, needed }) => state !== 'missing' || !needed), findings }
}

async function look(host: Host, requirement: Requirement): Promise<Finding> {
  const { name, neededFor, debian } = requirement
  const path = await find(host, requirement.sign)
  return {
    name,
    state: path ? 'ok' : 'missing',
    needed: isNeeded(requirement),
    found: path ? await versionOf(host, requirement, path) : '',
    needed_for: neededFor,
    help: path ? '' : `apt-get install ${debian}`,
  }
}

const ok = { state: 'ok', needed: true, help: '' } as const
const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`

function machine(): Finding[] {
  const { username, uid } = userInfo()
  const isRoot = uid === 0
  return [
    { ...ok, name: 'Node', found: process.versions.node, needed_for: 'everything' },
    {
      name: 'user',
      state: isRoot ? 'ok' : 'note',
      needed: false,
      found: username,
      needed_for: 'root installs what is missing and starts libvirtd',
      help: isRoot ? '' : 'for other users: usermod -aG libvirt USER',
    },
    { ...ok, name: 'processors', found: String(availableParallelism()), needed_for: 'guests' },
    { ...ok, name: 'memory', found: `${gib(freemem())} free of ${gib(totalmem())}`, needed_for: 'guests' },
  ]
}

async function guests(host: Host, config: Config): Promise<Finding> {
  const found = await accelerator(host, config.vmAccel)
  const isKvm = found.accelerator === 'kvm'
  return {
    name: 'acceleration',
    state: isKvm ? 'ok' : 'note',
    needed: false,
    found: isKvm ? 'KVM' : 'emulation (TCG)',
    needed_for: `speed of guests: ${found.because}`,
    help: isKvm ? '' : 'enable virtualization in the firmware, or nested virtualization on the host',
  }
}

async function disk(host: Host, { dataDir }: Config): Promise<Finding> {
  const folder = await nearest(host, dataDir)
  const { freeBytes: free } = await host.space(folder)
  return {
    name: 'disk',
    state: free < lowDiskBytes ? 'note' : 'ok',
    needed: false,
    found: `${gib(free)} free`,
    needed_for: `HORCRUX_DATA in ${dataDir}`,
    help: free < lowDiskBytes ? 'free some space, or set HORCRUX_DATA to a folder on a larger disk' : '',
  }
}

/** The folder, or its nearest existing parent. */
async function nearest(host: Host, path: string): Promise<string> {
  if (path === '/' || (await host.stat(path))) return path
  return nearest(host, path.slice(0, path.lastIndexOf('/')) || '/')
}

async function libvirt(host: Host): Promise<Finding> {
  const isUp = await isLibvirtUp(host)
  return {
    name: 'libvirtd',
    state: isUp ? 'ok' : 'note',
    needed: false,
    found: isUp ? 'answers' : 'does not answer',
    needed_for: 'virtual machines',
    help: isUp ? '' : 'npm start starts it when root; else: systemctl start libvirtd',
  }
}
