import type { Ended, Process } from '../drivers/process.ts'

/** The part of each stream that an answer has. */
export const capturedBytes = 256 * 2 ** 10

export type Captured = {
  exit_code: number | null
  stdout: string
  stderr: string
  truncated: boolean
  reason: Ended['reason']
}

/** Reads the output of a command to its end, and keeps the beginning of each stream. */
export async function capture({ output, end }: Process): Promise<Captured> {
  const kept: Record<1 | 2, Buffer[]> = { 1: [], 2: [] }
  const lengths: Record<1 | 2, number> = { 1: 0, 2: 0 }
  let truncated = false
  try {
    for await (const { stream, bytes } of output) {
      const left = capturedBytes - lengths[stream]
      if (bytes.length > left) truncated = true
      if (left > 0) kept[stream].push(bytes.subarray(0, left))
      lengths[stream] += Math.min(bytes.length, left)
    }
  } catch {
    // The streams broke off: `end` says whether the outcome is known.
  }
  const { code, reason } = await end()
  const textOf = (stream: 1 | 2) => Buffer.concat(kept[stream]).toString('utf8').replaceAll('\0', '\ufffd')
  return { exit_code: code, stdout: textOf(1), stderr: textOf(2), truncated, reason }
}
