import { config } from '#shared/config.ts'
import { apiUrl, type Ground } from '#shared/platform/ground.ts'

type Facts = { seconds: number; say: (text: string) => void }

/** What the user reads when Horcrux is up: where, what is missing, and what to type next. */
export async function welcome({ accelerator, libvirt, lacking }: Ground, { seconds, say }: Facts): Promise<void> {
  const url = apiUrl(config())
  const state = await libvirt
  const lines = [
    '',
    `Horcrux is ready at ${url} (${seconds.toFixed(1)} s). Ctrl-C stops it; guests go on.`,
    `  data      ${config().dataDir}`,
    state.running
      ? `  guests    ${accelerator.accelerator === 'kvm' ? 'KVM' : 'QEMU emulation (TCG)'}: ${accelerator.because}`
      : `  guests    none: ${state.why} -> ${state.help}`,
    ...(lacking.length > 0 ? [`  missing   ${lacking.join(' ')} -> horcrux doctor`] : []),
  ]
  say(lines.join('\n'))
}
