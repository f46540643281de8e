import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Accelerator } from '#shared/nodes/accelerator.ts'
import { packageOf } from '#shared/nodes/host/packages.ts'

const socket = '/run/libvirt/libvirt-sock'
const forGuests = ['libvirtd', 'qemu-system-x86_64', 'qemu-img']
const script = fileURLToPath(new URL('libvirtd.sh', import.meta.url))
const startMs = 15_000

/** State of libvirt on this machine; if it does not run, the reason and advice. */
export type LibvirtState = { running: true; started: boolean } | { running: false; why: string; help: string }

export function isLibvirtUp(host: Host): Promise<boolean> {
  return host.openSocket({ path: socket }).then(
    (stream) => {
      stream.destroy()
      return true
    },
    () => false,
  )
}

/** Checks that systemd is the service manager (sd_booted(3)). */
export async function hasServiceManager(host: Host): Promise<boolean> {
  return (await host.stat('/run/systemd/system')) !== null
}

/**
 * Ensures that libvirtd runs: by the service manager, or without one as a daemon that outlives this process, as guests
 * do. Changes nothing if it runs already.
 */
export async function ensureLibvirtd(
  host: Host,
  { accelerator }: Pick<Accelerator, 'accelerator'>,
): Promise<LibvirtState> {
  if (await isLibvirtUp(host)) return { running: true, started: false }
  if (!(await host.which('libvirtd')))
    return {
      running: false,
      why: 'libvirt is not installed',
      help: `apt-get install ${forGuests.map(packageOf).join(' ')}`,
    }
  const isRoot = process.getuid?.() === 0
  if (!isRoot && (await host.stat(socket)))
    return {
      running: false,
      why: 'this user has no access to libvirtd',
      help: 'usermod -aG libvirt USER, then sign in again',
    }
  const managed = await hasServiceManager(host)
  const help = managed ? 'systemctl enable --now libvirtd' : 'start Horcrux as root, or libvirtd by hand'
  if (process.getuid?.() !== 0)
    return { running: false, why: 'libvirtd does not run, and only root can start it', help }
  const { code, stderr } = managed
    ? await host.run('systemctl', ['start', 'libvirtd'])
    : await host.run('bash', [script, 'up', accelerator])
  if (code === 0 && (await comesUp(host))) return { running: true, started: true }
  const why = stderr.trim() || 'it does not answer'
  return { running: false, why: `libvirtd does not start: ${why}`, help: 'see /var/log/libvirt/libvirtd.log' }
}

async function comesUp(host: Host): Promise<boolean> {
  const end = performance.now() + startMs
  while (performance.now() < end) {
    if (await isLibvirtUp(host)) return true
    await sleep(25)
  }
  return false
}

/** Stops the libvirtd that {@link ensureLibvirtd} started. Guests continue, and the next libvirtd finds them. */
export const stopLibvirtd = async (host: Host): Promise<void> => void (await host.runChecked('bash', [script, 'down']))
