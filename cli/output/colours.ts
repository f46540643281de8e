import { environment } from '../environment.ts'

export type Colour = 'red' | 'green' | 'yellow' | 'dim' | 'bold'
const codes: Record<Colour, [number, number]> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  dim: [2, 22],
  bold: [1, 22],
}

type Stream = { isTTY?: boolean }

/** Colours are for a terminal, unless NO_COLOR, TERM=dumb or CI forbids them. */
export const hasColours = (stream: Stream) => stream.isTTY === true && !environment.isPlain() && !environment.isCi()

export function paint(text: string, colour: Colour | undefined, stream: Stream): string {
  if (colour === undefined || !hasColours(stream)) return text
  const [on, off] = codes[colour]
  return `\u001b[${on}m${text}\u001b[${off}m`
}

const good = ['running', 'active', 'ok', 'online', 'succeeded', 'healthy', 'available', 'done', 'ready']
const bad = [
  'failed',
  'unreachable',
  'offline',
  'missing',
  'critical',
  'unhealthy',
  'needs_attention',
  'degraded',
  'foreign',
  'rolled_back',
]
const waiting = ['paused', 'queued', 'cancelling', 'unknown', 'warning', 'low', 'suspended', 'transitional']

/** The colour of a state. The word stands beside it, so that nothing depends on the colour. */
export function colourOf(state: string): Colour | undefined {
  if (good.includes(state)) return 'green'
  if (bad.includes(state)) return 'red'
  if (waiting.includes(state)) return 'yellow'
  return ['stopped', 'inactive', 'cancelled', 'expired'].includes(state) ? 'dim' : undefined
}
