import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { SshTarget } from '#shared/nodes/host/ssh/ssh.ts'

/** A hypervisor of the lab: its own network namespace, libvirtd and sshd. */
export type LabHost = {
  /** Host name inside: `node1`. */
  name: string
  address: string
  port: number
  user: string
  keyFile: string
  privateKey: string
  /** Public host key, as in known_hosts. */
  hostKey: string
  /** libvirt's address; the session needs no login. */
  uri: string
  netns: string
  /** The lab's end of the host's cable: `ip link set LINK down` cuts it off. */
  link: string
  /** The host's own folder of libvirt images, as this machine sees it; the host sees it as /var/lib/libvirt/images. */
  dir: string
  /** The same of the host's /var/lib/horcrux. */
  stateDir: string
}

const SCRIPT = fileURLToPath(new URL('hosts.sh', import.meta.url))
const machine = localHost()

/** Programs that this machine lacks for lab hosts, such as `virsh (Debian: libvirt-clients)`. */
export async function missingForHosts(): Promise<string[]> {
  const { stdout } = await machine.runChecked('bash', [SCRIPT, 'needs'])
  return stdout.split('\n').filter(Boolean)
}

/** Brings up `count` hosts in `dir`. They go when process `owner` is gone and someone brings up hosts again. */
export async function startHosts(dir: string, count = 2, owner = process.pid): Promise<LabHost[]> {
  // A busy machine takes minutes for what takes seconds else.
  await machine.runChecked('bash', [SCRIPT, 'up', dir, String(count), String(owner)], { timeoutMs: 300_000 })
  return hostsIn(dir)
}

/** The hosts that are up in `dir`. */
export async function hostsIn(dir: string): Promise<LabHost[]> {
  const written = await readFile(join(dir, 'lab'), 'utf8')
  const lab = Object.fromEntries(written.split('\n').map((line) => line.split('='))) as Record<string, string>
  const keyFile = join(dir, 'id')
  const privateKey = await readFile(keyFile, 'utf8')
  const numbers = Array.from({ length: Number(lab['hosts']) }, (_, index) => index + 1)
  return Promise.all(
    numbers.map(async (k) => {
      const address = `${lab['net']}.${k}`
      const hostKey = (await readFile(join(dir, String(k), 'ssh/key.pub'), 'utf8')).split(' ').slice(0, 2).join(' ')
      return {
        name: `node${k}`,
        address,
        port: 22,
        user: 'root',
        keyFile,
        privateKey,
        hostKey,
        uri: `qemu+tcp://${address}/system`,
        netns: `${lab['name']}-${k}`,
        link: `${lab['name']}v${k}`,
        dir: join(dir, String(k), 'lib/images'),
        stateDir: join(dir, String(k), 'state'),
      }
    }),
  )
}

/** Takes down the hosts in `dir`, with all that runs on them. */
export async function stopHosts(dir: string): Promise<void> {
  await machine.runChecked('bash', [SCRIPT, 'down', dir])
}

/** How the product reaches a lab host. */
export const sshTarget = ({ address, port, user, privateKey, hostKey }: LabHost): SshTarget => ({
  address,
  port,
  user,
  privateKey,
  hostKey,
})
