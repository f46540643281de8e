import { durationText, sizeText } from './cells.ts'
import { hasColours } from './colours.ts'
import { cut, shown } from './width.ts'

type Progress = { done: number; total: number | null; unit: 'steps' | 'bytes'; percent: number | null }
export type OperationView = {
  id: string
  kind: string
  state: string
  stage: string | null
  progress: Progress
  eta?: string | null
  version: number
  cancellable?: boolean
  result?: unknown
  error: { error: string; message: string; details?: unknown } | null
  resources?: string[]
}

const barWidth = 16

/** `vms.create  ████░░░░  cloning_disk vda  6.1 GiB of 8 GiB  5 s left`, cut to the width. */
export function progressLine(
  { kind, stage, state, progress, eta }: OperationView,
  width: number,
  now = Date.now(),
): string {
  const { percent, done, total, unit } = progress
  const filled = Math.round(((percent ?? 0) / 100) * barWidth)
  const bar = percent === null ? '' : `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}  `
  const amount = unit === 'bytes' && total !== null ? `  ${sizeText(done)} of ${sizeText(total)}` : ''
  const left = eta ? (Date.parse(eta) - now) / 1000 : 0
  const rest = left > 1 ? `  ${durationText(Math.round(left))} left` : ''
  return cut(shown(`${kind}  ${bar}${stage ?? state}${amount}${rest}`), Math.max(10, width - 1))
}

/** A line of progress on a terminal, drawn over itself; nothing without one. */
export function progressBar({ isQuiet }: { isQuiet: boolean }) {
  const { stderr } = process
  const isShown = !isQuiet && hasColours(stderr)
  let isDrawn = false
  return {
    isShown,
    show(operation: OperationView) {
      if (!isShown) return
      stderr.write(`\r\u001b[K${progressLine(operation, stderr.columns || 80)}`)
      isDrawn = true
    },
    clear() {
      if (isDrawn) stderr.write('\r\u001b[K')
      isDrawn = false
    },
  }
}
