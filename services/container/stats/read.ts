import { closeSync, openSync, readSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import type { Host } from '#shared/nodes/host/host.ts'

/** The texts of files of the kernel by their paths; one that is missing, or has just gone, has none. */
export type ReadTexts = (paths: readonly string[]) => Promise<Map<string, string>>

let bytes = Buffer.alloc(65_536)
/** Files that are read before other work has its turn. */
const filesAtOnce = 200

function textOf(path: string): string | undefined {
  let descriptor: number | undefined
  try {
    descriptor = openSync(path, 'r')
    for (let length = 0; ; bytes = Buffer.concat([bytes], bytes.length * 2)) {
      for (let got = 1; got > 0 && length < bytes.length; length += got)
        got = readSync(descriptor, bytes, length, bytes.length - length, length)
      if (length < bytes.length) return bytes.toString('latin1', 0, length)
    }
  } catch {
    // The container has ended, or the kernel does not have this file: its number is not measured.
    return undefined
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

/** This machine. Reads of /proc and of control groups do not wait for devices: a thread for each would cost far more. */
export const readLocal: ReadTexts = async (paths) => {
  const texts = new Map<string, string>()
  for (const [index, path] of paths.entries()) {
    if (index % filesAtOnce === filesAtOnce - 1) await turn()
    const text = textOf(path)
    if (text !== undefined) texts.set(path, text)
  }
  return texts
}

const patienceMs = 4000

/** A node behind SSH: one program prints all files over the connection that is there. */
export const readRemote =
  (host: Host): ReadTexts =>
  async (paths) => {
    if (paths.length === 0) return new Map()
    const input = paths.map((path) => `${path}\0`).join('')
    // Files that are missing make the exit code 123; the others are printed.
    const words = ['--null', 'tail', '--verbose', '--lines=+1', '--']
    const { stdout } = await host.run('xargs', words, { input, timeoutMs: patienceMs })
    return textsIn(stdout)
  }

/** Splits the output of tail, which puts `==> /proc/stat <==` before each file. */
export function textsIn(output: string): Map<string, string> {
  const texts = new Map<string, string>()
  for (const part of output.split(/^==> (?=\/)/m).slice(1)) {
    const end = part.indexOf(' <==\n')
    if (end > 0) texts.set(part.slice(0, end), part.slice(end + ' <==\n'.length))
  }
  return texts
}
