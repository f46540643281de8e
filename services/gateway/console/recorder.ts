import { setTimeout as delay } from 'node:timers/promises'
import { StringDecoder } from 'node:string_decoder'
import { call } from '#shared/bus/call.ts'
import { consoles } from '#shared/contracts/vm/consoles.ts'
import { log } from '#shared/runtime/log.ts'

const flushEveryMs = 1000
const partChars = 131_072
/** Limit of the buffer while the store does not keep up. Output beyond it is left out, and the recording says so. */
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
  /** A part stays unchanged until its write succeeds: a lost call may have written it. */
  let next = ''
  let part = 0
  let isOver = false
  let leftOut = 0
  let isLossy = false
  let writing: Promise<void> | null = null

  const add = (text: string) => {
    waiting += `${JSON.stringify([seconds(begin), 'o', text])}\n`
  }
  const tellLeftOut = () => {
    if (leftOut > 0) add(`\r\n[horcrux] ${leftOut} characters are left out here.\r\n`)
    leftOut = 0
  }
  const takeNext = () => {
    const whole = waiting.lastIndexOf('\n', partChars) + 1 || waiting.indexOf('\n') + 1
    next = waiting.slice(0, whole)
    waiting = waiting.slice(whole)
  }
  const writeAll = async () => {
    for (;;) {
      if (next === '') takeNext()
      if (next === '' || isOver) return
      isOver = !(await call(consoles, 'append', { recording_id: recordingId, part, text: next, lossy: isLossy }))
      part++
      next = ''
    }
  }
  const flush = () =>
    (writing ??= inContext(writeAll)
      .catch((error: Error) => log('gateway').warn({ err: error }, 'a recording waits for the store'))
      .finally(() => (writing = null)))
  const timer = setInterval(() => void flush(), flushEveryMs)

  return {
    data: (chunk: Buffer) => {
      const text = decoder.write(chunk)
      if (isOver || text === '') return
      if (waiting.length > (leftOut > 0 ? maxWaitingChars / 2 : maxWaitingChars)) {
        leftOut += text.length
        isLossy = true
        return
      }
      tellLeftOut()
      add(text)
      if (waiting.length > partChars) void flush()
    },
    /** Resolves when all is kept, however long the store is away; or when it takes no more. */
    end: async () => {
      clearInterval(timer)
      tellLeftOut()
      for (await flush(); !isOver && waiting + next !== ''; await flush())
        await delay(flushEveryMs, undefined, { ref: false })
    },
  }
}

const seconds = (begin: number) => Math.round((performance.now() - begin) * 1000) / 1_000_000
