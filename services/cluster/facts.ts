import { config } from '#shared/config/config.ts'
import type { Facts } from '#shared/contracts/cluster/nodes.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { versions } from '#shared/nodes/libvirt/host-facts.ts'
import type { HostConnection } from '#shared/nodes/libvirt/host-connection.ts'

/**
 * Whether guests of a host can run with KVM: the processor must offer it (`vmx` or `svm` among its flags) and /dev/kvm
 * must be there. A /dev/kvm alone is not enough: under one that a container was handed without the flag, guests hang.
 */
export function accelOf(
  cpuinfo: string,
  hasDevice: boolean,
  wanted: 'auto' | 'kvm' | 'tcg',
): Pick<Facts, 'accel' | 'accel_reason'> {
  if (wanted !== 'auto') return { accel: wanted, accel_reason: `HORCRUX_VM_ACCEL is ${wanted}` }
  const hasFlag = /^flags\s*:.*\b(vmx|svm)\b/m.test(cpuinfo)
  if (hasFlag && hasDevice) return { accel: 'kvm', accel_reason: 'The processor has vmx or svm, and /dev/kvm is there' }
  const missing = [
    ...(hasFlag ? [] : ['the processor has neither vmx nor svm']),
    ...(hasDevice ? [] : ['there is no /dev/kvm']),
  ]
  return { accel: 'tcg', accel_reason: `Emulation: ${missing.join(', and ')}` }
}

const read = async (host: Host, path: string) => (await host.readFile(path)).toString('utf8')

/** What a host is and can do. @throws UnavailableError when it does not answer; without libvirt its versions are null */
export async function factsOf(host: Host, libvirt: HostConnection): Promise<Facts> {
  const [cpuinfo, meminfo, kernel, hostname, machine, kvm] = await Promise.all([
    read(host, '/proc/cpuinfo'),
    read(host, '/proc/meminfo'),
    read(host, '/proc/sys/kernel/osrelease'),
    read(host, '/proc/sys/kernel/hostname'),
    host.runChecked('uname', ['-m']),
    host.stat('/dev/kvm'),
  ])
  const found = await versions(libvirt).catch(() => ({ libvirt: null, hypervisor: null }))
  return {
    hostname: hostname.trim(),
    architecture: machine.stdout.trim(),
    cpu_model: /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? 'unknown',
    cpus: cpuinfo.match(/^processor\s*:/gm)?.length ?? 1,
    memory_mib: Math.floor(Number(/^MemTotal:\s*(\d+) kB/m.exec(meminfo)?.[1] ?? 0) / 1024),
    kernel: kernel.trim(),
    libvirt_version: found.libvirt,
    qemu_version: found.hypervisor,
    ...accelOf(cpuinfo, kvm !== null, config().vmAccel),
  }
}
