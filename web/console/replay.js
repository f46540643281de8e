import { Refused } from './api.js'
import { makeTerminal } from './terminal.js'
import { t } from './words.js'

/** Longer silences of a recording are cut to this. Seconds. */
const longestPause = 2

/** Plays a recording of a serial console (asciicast v2) with its own timing. */
export async function replay(view, vm, recording, said) {
  const answer = await fetch(`/api/console/${vm}/recordings/${recording}/cast`)
  if (!answer.ok) throw new Refused(answer.status, (await answer.json().catch(() => ({}))).message ?? t('noRecording'))
  const [, ...lines] = (await answer.text()).trimEnd().split('\n')
  const { terminal } = makeTerminal(view, { reading: true })
  said('connected', t('replaying'))
  let last = 0
  for (const line of lines) {
    const [at, kind, text] = JSON.parse(line)
    await new Promise((resolve) => setTimeout(resolve, Math.min(at - last, longestPause) * 1000))
    last = at
    if (kind === 'o') terminal.write(text)
  }
  said('closed', t('recordingEnded'))
}
