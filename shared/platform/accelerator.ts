import type { Host } from '#shared/nodes/host/host.ts'

export type Accelerator = { accelerator: 'kvm' | 'tcg'; because: string }

/**
 * How guests would run here. A /dev/kvm alone says nothing: on some machines it is there while the processor, itself
 * virtual, cannot do it, and guests hang.
 */
export async function accelerator(host: Host, wanted: 'auto' | 'kvm' | 'tcg'): Promise<Accelerator> {
  if (wanted !== 'auto') return { accelerator: wanted, because: 'HORCRUX_VM_ACCEL says so' }
  const cpuinfo = await host.readFile('/proc/cpuinfo').catch(() => Buffer.alloc(0))
  const flag = virtualizationFlag(cpuinfo.toString())
  const device = (await host.stat('/dev/kvm'))?.kind === 'character-device'
  if (flag && device) return { accelerator: 'kvm', because: `the processor has ${flag}, and /dev/kvm is there` }
  const lacks = [...(flag ? [] : ['the processor has no vmx or svm flag']), ...(device ? [] : ['there is no /dev/kvm'])]
  return { accelerator: 'tcg', because: lacks.join(' and ') }
}

/** `vmx` (Intel) or `svm` (AMD) when /proc/cpuinfo has it among the flags. */
export function virtualizationFlag(cpuinfo: string): string | undefined {
  return /^flags\s*:.*\b(vmx|svm)\b/m.exec(cpuinfo)?.[1]
}
