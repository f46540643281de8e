import { randomBytes } from 'node:crypto'

/** The prefix of every made secret, searched for first: plain, in base64 and in hex. */
const mark = 'C4naryBird'

/** How a text would stand in base64, at each of the three places it can have in a group of bytes. */
const inBase64 = (text: string) =>
  [0, 1, 2].map((offset) =>
    Buffer.from('\0'.repeat(offset) + text)
      .toString('base64')
      .slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + text.length) * 8) / 6)),
  )
const forms = [mark, Buffer.from(mark).toString('hex'), ...inBase64(mark)]

/** Secrets that are each used at one place, so that wherever one turns up it is known whose it is. */
export type Canaries = {
  /** A secret that will do as a password. */
  make: (what: string) => string
  /** Registers a secret that another program has made. */
  learn: (what: string, value: string) => void
  /** The secrets found in a text, except these; each finding names the secret and the place. */
  leaksIn: (place: string, text: string, except?: ReadonlySet<string>) => string[]
  count: () => number
}

export function createCanaries(): Canaries {
  const whats = new Map<string, string>()
  const learnt = new Map<string, RegExp | null>()
  const aroundAt = (text: string, at: number) => JSON.stringify(text.slice(Math.max(0, at - 60), at + 60))
  return {
    make: (what) => {
      const value = `${mark}-${randomBytes(10).toString('hex')}`
      whats.set(value, what)
      return value
    },
    learn: (what, value) => {
      whats.set(value, what)
      // Short ones are parts of many numbers: they count only where they stand alone.
      learnt.set(value, value.length < 10 ? new RegExp(`(?<![\\w.-])${value}(?![\\w.-])`) : null)
    },
    leaksIn: (place, text, except) => {
      const made = forms
        .map((form) => text.indexOf(form))
        .filter((at) => at >= 0)
        .map((at) => {
          const what = whats.get(text.slice(at, at + mark.length + 21)) ?? 'a made secret'
          return `${what} is in ${place}: ${aroundAt(text, at)}`
        })
      const others = [...learnt].flatMap(([value, alone]) => {
        if (except?.has(value)) return []
        const at = alone ? text.search(alone) : text.indexOf(value)
        return at < 0 ? [] : [`${whats.get(value)} is in ${place}: ${aroundAt(text, at)}`]
      })
      return [...made, ...others]
    },
    count: () => whats.size,
  }
}
