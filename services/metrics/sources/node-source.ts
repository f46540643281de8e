import { closeSync, openSync, readSync } from 'node:fs'
import type { Host } from '#shared/nodes/host/host.ts'
import { type ProcFile, procFiles, type ProcTexts } from './proc.ts'

/** Reads the files of one measurement of a node. */
export type NodeReader = { read: () => Promise<ProcTexts>; close: () => void }

const files = Object.entries(procFiles) as [ProcFile, string][]

/** This machine: descriptors stay open, and each is read from its beginning. */
export function localReader(): NodeReader {
  const open = new Map<ProcFile, number>()
  let bytes = Buffer.alloc(16_384)
  const readWhole = (descriptor: number): string => {
    for (let length = 0; ; bytes = Buffer.concat([bytes], bytes.length * 2)) {
      // A file of /proc is made anew by a read from its beginning, so the parts belong together.
      for (let got = 1; got > 0 && length < bytes.length; length += got)
        got = readSync(descriptor, bytes, length, bytes.length - length, length)
      if (length < bytes.length) return bytes.toString('latin1', 0, length)
    }
  }
  const read = (): ProcTexts => {
    const texts: ProcTexts = {}
    for (const [name, path] of files) {
      try {
        const descriptor = open.get(name) ?? openSync(path, 'r')
        open.set(name, descriptor)
        texts[name] = readWhole(descriptor)
      } catch {
        // A kernel without this file: its numbers are not measured.
        closeOne(name)
      }
    }
    return texts
  }
  const closeOne = (name: ProcFile) => {
    const descriptor = open.get(name)
    open.delete(name)
    if (descriptor !== undefined) closeSync(descriptor)
  }
  return { read: async () => read(), close: () => files.forEach(([name]) => closeOne(name)) }
}

const patienceMs = 4000

/** A node behind SSH: one program prints all files over the connection that is there. */
export function remoteReader(host: Host): NodeReader {
  const paths = files.map(([, path]) => path)
  return {
    read: async () => {
      // A file that is missing makes the exit code 1; the others are printed.
      const { stdout } = await host.run('tail', ['-n', '+1', ...paths], { timeoutMs: patienceMs })
      return textsIn(stdout)
    },
    close: () => undefined,
  }
}

/** Splits the output of tail, which puts `==> /proc/stat <==` before each file. */
export function textsIn(output: string): ProcTexts {
  const names = new Map(files.map(([name, path]) => [path, name]))
  const texts: ProcTexts = {}
  for (const part of output.split(/^==> /m).slice(1)) {
    const end = part.indexOf(' <==\n')
    const name = names.get(part.slice(0, end))
    if (name !== undefined) texts[name] = part.slice(end + ' <==\n'.length)
  }
  return texts
}
