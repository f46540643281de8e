import type { AgentView } from '#shared/contracts/vm/guests.ts'
import { AppError, UnavailableError } from '#shared/errors.ts'
import { agentCommand } from '#shared/nodes/libvirt/client/domain.ts'
import type { Guest } from '../../guest.ts'
import { libvirtAt } from '../libvirt.ts'

/** A freeze waits until all that is being written is on the disks. */
const freezeSeconds = 60

async function ask<T>({ node, handle: uuid }: Guest, execute: string, seconds?: number): Promise<T> {
  const libvirt = await libvirtAt(node)
  const answer = await agentCommand(libvirt, uuid, { execute }, seconds === undefined ? {} : { seconds })
  // The caller names the type that the QEMU Guest Agent Protocol Reference gives for the command.
  return answer['return'] as T
}

/** The agent's answer; null for a command that it does not know, is forbidden, or cannot run while it is frozen. */
async function answerTo<T>(guest: Guest, execute: string): Promise<T | null> {
  try {
    return await ask<T>(guest, execute)
  } catch (error) {
    if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
    return null
  }
}

type Os = Partial<Record<'id' | 'pretty-name' | 'version-id' | 'kernel-release' | 'machine', string>>
type Interface = {
  name: string
  'hardware-address'?: string
  'ip-addresses'?: { 'ip-address': string; prefix: number }[]
}
type FileSystem = { name: string; mountpoint: string; type: string; 'used-bytes'?: number; 'total-bytes'?: number }

const silent = {
  version: null,
  hostname: null,
  os: null,
  interfaces: null,
  filesystems: null,
  frozen: null,
} satisfies Partial<AgentView>

const osOf = (os: Os): AgentView['os'] => ({
  id: os.id ?? null,
  name: os['pretty-name'] ?? null,
  version: os['version-id'] ?? null,
  kernel: os['kernel-release'] ?? null,
  machine: os.machine ?? null,
})

/** Reads all that the agent in a guest tells of it. An agent that does not answer is not connected. */
export async function viewByAgent(guest: Guest): Promise<AgentView> {
  let info: { version: string }
  try {
    info = await ask(guest, 'guest-info')
  } catch (error) {
    if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
    return { ...silent, connected: false, reason: error.message }
  }
  const [os, host, nics, disks, freezing] = [
    await answerTo<Os>(guest, 'guest-get-osinfo'),
    await answerTo<{ 'host-name': string }>(guest, 'guest-get-host-name'),
    await answerTo<Interface[]>(guest, 'guest-network-get-interfaces'),
    await answerTo<FileSystem[]>(guest, 'guest-get-fsinfo'),
    await answerTo<string>(guest, 'guest-fsfreeze-status'),
  ]
  return {
    connected: true,
    reason: null,
    version: info.version,
    hostname: host?.['host-name'] ?? null,
    os: os && osOf(os),
    interfaces: nics?.map(interfaceOf) ?? null,
    filesystems: disks?.map(fileSystemOf) ?? null,
    frozen: freezing === null ? null : freezing === 'frozen',
  }
}

const interfaceOf = (nic: Interface) => ({
  name: nic.name,
  mac: nic['hardware-address'] ?? null,
  addresses: (nic['ip-addresses'] ?? []).map((each) => `${each['ip-address']}/${each.prefix}`),
})

const fileSystemOf = ({ name, mountpoint, type, ...bytes }: FileSystem) => ({
  name,
  mountpoint,
  type,
  used_bytes: bytes['used-bytes'] ?? null,
  total_bytes: bytes['total-bytes'] ?? null,
})

/** Freezes the mounted file systems of a guest; a guest that is frozen stays so. @throws ConflictError without an agent */
export async function freeze(guest: Guest, seconds = freezeSeconds): Promise<number> {
  if ((await ask(guest, 'guest-fsfreeze-status')) === 'frozen') return 0
  return ask(guest, 'guest-fsfreeze-freeze', seconds)
}

export const thaw = (guest: Guest, seconds = freezeSeconds): Promise<number> =>
  ask(guest, 'guest-fsfreeze-thaw', seconds)
