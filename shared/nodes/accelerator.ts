import type { Host } from './host/host.ts'

export type Accelerator = { accelerator: 'kvm' | 'tcg'; because: string }

/**
 * Decides how guests run on a host: with KVM when the processor offers it (`vmx` or `svm` among its flags) and /dev/kvm
 * is a device. A /dev/kvm alone is not enough: in a container that was handed one without the flag, guests hang.
 * @param wanted `HORCRUX_VM_ACCEL`
 */
export async function accelerator(host: Host, wanted: 'auto' | 'kvm' | 'tcg'): Promise<Accelerator> {
  if (wanted !== 'auto') return { accelerator: wanted, because: `HORCRUX_VM_ACCEL is ${wanted}` }
  const [cpuinfo, device] = await Promise.all([host.readFile('/proc/cpuinfo'), host.stat('/dev/kvm')])
  return judge(cpuinfo.toString('utf8'), device?.kind === 'character-device')
}

/** @param cpuinfo the text of /proc/cpuinfo */
export function judge(cpuinfo: string, hasDevice: boolean): Accelerator {
  const flag = /^flags\s*:.*\b(vmx|svm)\b/m.exec(cpuinfo)?.[1]
  if (flag && hasDevice) return { accelerator: 'kvm', because: `the processor has ${flag}, and /dev/kvm is there` }
  const missing = [
    ...(flag ? [] : ['the processor has no vmx or svm flag']),
    ...(hasDevice ? [] : ['there is no device /dev/kvm']),
  ]
  return { accelerator: 'tcg', because: missing.join(', and ') }
}
