import { StringDecoder } from 'node:string_decoder'
import { call } from '#shared/call.ts'
import { consoles } from '#shared/contracts/consoles.ts'
import { log } from '#shared/log.ts'

const flushEveryMs = 1000
const partChars = 131_072
/** While the store does not answer, so much is kept for it. */
const maxWaitingChars = 1_048_576

/**
 * Writes what a terminal shows as asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/), part by part, so that
 * what was shown is kept however this process ends.
 */
export function createRecorder(recordingId: string, inContext: <T>(work: () => T) => T) {
  const begin = performance.now()
  const decoder = new StringDecoder('utf8')
  const timestamp = Math.floor(Date.now() / 1000)
  let waiting = `${JSON.stringify({ version: 2, width: 80, height: 24, timestamp })}\n`
  let part = 0
  let isFull = false
  let writing = Promise.resolve()

  const writeOne = async () => {
    const whole = waiting.lastIndexOf('\n', partChars) + 1 || waiting.indexOf('\n') + 1
    const cut = waiting.length <= partChars ? waiting.length : whole
    const text = waiting.slice(0, cut)
    if (text === '' || isFull) return
    isFull = !(await call(consoles, 'append', { recording_id: recordingId, part, text }))
    part++
    waiting = waiting.slice(cut)
  }
  const flush = () =>
    (writing = writing
      .then(() => inContext(writeOne))
      .catch((error: Error) => log('gateway').warn({ err: error }, 'a recording waits for the store')))
  const timer = setInterval(() => void flush(), flushEveryMs)

  return {
    data: (chunk: Buffer) => {
      if (isFull) return
      const text = decoder.write(chunk)
      if (text !== '') waiting += `${JSON.stringify([seconds(begin), 'o', text])}\n`
      if (waiting.length > maxWaitingChars) isFull = true
    },
    /** Resolves when all is kept that the store takes. */
    end: async () => {
      clearInterval(timer)
      for (let left = Infinity; waiting.length > 0 && waiting.length < left && !isFull;) {
        left = waiting.length
        await flush()
      }
    },
  }
}

const seconds = (begin: number) => Math.round((performance.now() - begin) * 1000) / 1_000_000
