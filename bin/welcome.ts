import { randomBytes } from 'node:crypto'
import { config } from '#shared/config/config.ts'
import { tokenLifeMs } from '../services/auth/credentials/tokens.ts'
import { apiUrl, type Infrastructure } from '#shared/platform/start-infrastructure.ts'

type Facts = {
  /** Duration of the start. */
  seconds: number
  /** Given if there is no user yet. */
  setupToken: string | undefined
  say: (text: string) => void
}

/** Prints the address, missing requirements and the next commands after a start. */
export async function welcome({ accelerator, libvirt, lacking }: Infrastructure, facts: Facts): Promise<void> {
  const { dataDir } = config()
  const url = apiUrl(config())
  const state = await libvirt
  const guests = accelerator.accelerator === 'kvm' ? 'KVM' : `QEMU emulation (TCG): ${accelerator.because}`
  facts.say(
    [
      '',
      `Horcrux is ready at ${url} (${facts.seconds.toFixed(1)} s). Ctrl-C stops it; guests continue.`,
      `  data      ${dataDir}   (used by npx horcrux while this runs; with several instances set HORCRUX_DATA to it)`,
      `  guests    ${state.running ? guests : `none yet: ${state.why} -> ${state.help}`}`,
      ...(lacking.length > 0 ? [`  missing   apt-get install ${lacking.join(' ')}`] : []),
      ...(facts.setupToken
        ? [`  set-up    ${url}/#setup=${facts.setupToken}   (once, within an hour)`]
        : [`  page      ${url}/`]),
      '',
      `Next, in another terminal (the token ends after ${tokenLifeMs / 60_000} minutes: repeat the line TOKEN=... then):`,
      ...(facts.setupToken ? [`  npx horcrux setup   (asks for the set-up token and a password), or with curl:`] : []),
      ...nextCommands(url, facts.setupToken).map((line) => `  ${line}`),
      '',
    ].join('\n'),
  )
}

/** Three commands that need only curl. A self-signed certificate needs `-k`. */
function nextCommands(url: string, setupToken: string | undefined): string[] {
  const curl = url.startsWith('https') ? 'curl -sk' : 'curl -s'
  const password = setupToken ? randomBytes(12).toString('base64url') : '...'
  const who = `"username":"admin","password":"${password}"`
  const login = `TOKEN=$(${curl} --json '{${who}}' ${url}/api/auth/login | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')`
  const list = `${curl} -H "Authorization: Bearer $TOKEN" ${url}/api/cluster/nodes`
  if (setupToken) return [`${curl} --json '{"token":"${setupToken}",${who}}' ${url}/api/auth/setup`, login, list]
  return [login, list, `${curl} ${url}/api/openapi.json`]
}
