import type { AgentView } from '#shared/contracts/vm/guests.ts'
import { AppError, ConflictError, UnavailableError } from '#shared/errors.ts'
import { agentCommand, monitorCommand } from '#shared/nodes/libvirt/domain.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Guest, GuestCommand } from '../driver.ts'

/** A freeze waits until all that is being written is on the disks. */
const freezeSeconds = 60

async function ask<T>({ node, domain_uuid }: Guest, command: GuestCommand, seconds?: number): Promise<T> {
  const { libvirt } = await reach(node)
  const answer = await agentCommand(libvirt, domain_uuid, command, seconds === undefined ? {} : { seconds })
  // What the agent's protocol says of each command (QEMU Guest Agent Protocol Reference).
  return answer['return'] as T
}

/** What the agent answers; null for what it does not know, has been forbidden, or cannot say while it is frozen. */
async function told<T>(guest: Guest, execute: string): Promise<T | null> {
  try {
    return await ask<T>(guest, { execute })
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

/** All that the agent in a guest tells of it. One that does not answer is not connected. */
export async function lookByAgent(guest: Guest): Promise<AgentView> {
  let info: { version: string }
  try {
    info = await ask(guest, { execute: 'guest-info' })
  } catch (error) {
    if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
    return { ...silent, connected: false, reason: error.message }
  }
  const [os, host, nics, disks, freezing] = [
    await told<Os>(guest, 'guest-get-osinfo'),
    await told<{ 'host-name': string }>(guest, 'guest-get-host-name'),
    await told<Interface[]>(guest, 'guest-network-get-interfaces'),
    await told<FileSystem[]>(guest, 'guest-get-fsinfo'),
    await told<string>(guest, 'guest-fsfreeze-status'),
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

/** Freezes what a guest has mounted; a guest that is frozen stays so. @throws ConflictError without an agent */
export async function freeze(guest: Guest): Promise<number> {
  if ((await ask(guest, { execute: 'guest-fsfreeze-status' })) === 'frozen') return 0
  return ask(guest, { execute: 'guest-fsfreeze-freeze' }, freezeSeconds)
}

export const thaw = (guest: Guest): Promise<number> => ask(guest, { execute: 'guest-fsfreeze-thaw' }, freezeSeconds)

/** QEMU's answer to a command of its monitor. @throws ConflictError in QEMU's words */
export async function monitor({ node, domain_uuid }: Guest, command: GuestCommand): Promise<unknown> {
  const { libvirt } = await reach(node)
  const answer = await monitorCommand(libvirt, domain_uuid, command)
  const error = answer['error'] as { class: string; desc: string } | undefined
  if (error) throw new ConflictError(`QEMU: ${error.desc}`, { details: { class: error.class } })
  return answer['return'] ?? null
}
