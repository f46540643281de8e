import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Accelerator } from '#shared/nodes/accelerator.ts'

const socket = '/run/libvirt/libvirt-sock'
const script = fileURLToPath(new URL('libvirtd.sh', import.meta.url))
const startMs = 15_000

/** Whether libvirt is there for guests; if not, why, and what would help. */
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

/** Whether systemd is in charge (sd_booted(3)). */
export async function hasServiceManager(host: Host): Promise<boolean> {
  return (await host.stat('/run/systemd/system')) !== null
}

/**
 * Sees to it that libvirtd runs: asks the service manager, or where there is none starts it in a way that outlives this
 * process, since guests do. Changes nothing where it runs already.
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
      help: 'apt-get install libvirt-daemon-system qemu-system-x86 qemu-utils',
    }
  const isRoot = process.getuid?.() === 0
  if (!isRoot && (await host.stat(socket)))
    return {
      running: false,
      why: 'libvirtd may not be used by this user',
      help: 'usermod -aG libvirt USER, then sign in anew',
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

/** Ends the libvirtd that {@link ensureLibvirtd} started; guests go on, and the next one finds them. */
export const stopLibvirtd = async (host: Host): Promise<void> => void (await host.runChecked('bash', [script, 'down']))
