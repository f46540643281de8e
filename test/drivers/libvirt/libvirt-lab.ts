import { readFile } from 'node:fs/promises'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

/** The k-th (from 1) host of the lab; the one place where these tests know its shape. */
export const labHost = (k: number): { uri: string; address: string; netns: string; dir: string } => {
  const host = labHosts[k - 1]
  if (!host) throw new Error(`the lab has no host ${k}`)
  return host
}

export const hasLab = (): boolean => labHosts.length > 1

/** The pid, as this machine sees it, of a host's process whose command line holds `words`. */
export const pidOn = async (k: number, program: string, words = ''): Promise<number> => {
  const { stdout } = await localHost().runChecked('ip', ['netns', 'pids', labHost(k).netns])
  for (const pid of stdout.split('\n').filter(Boolean)) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const [executable = ''] = commandLine.split('\0')
    if (executable.endsWith(program) && commandLine.includes(words)) return Number(pid)
  }
  throw new Error(`no ${program} runs on host ${k}`)
}

/** A guest that boots to its BIOS and stays there, without a disk. */
export const tinyDomain = (uuid: string, name: string, devices = ''): string => `<domain type='qemu'>
  <name>${name}</name><uuid>${uuid}</uuid>
  <memory unit='MiB'>128</memory><currentMemory unit='MiB'>64</currentMemory><vcpu current='1'>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='pci' model='pcie-root'/>
    ${"<controller type='pci' model='pcie-root-port'/>".repeat(8)}
    ${devices}
  </devices>
</domain>`

/** Collects what it is given, and tells when something that was waited for is among it, also when it came before. */
export const inbox = <T>() => {
  const all: T[] = []
  const waiting: (() => void)[] = []
  return {
    all,
    put(item: T) {
      all.push(item)
      for (const wake of waiting.splice(0)) wake()
    },
    /** The first item that matches; the test's own time limit ends the wait. */
    async first(matches: (item: T) => boolean): Promise<T> {
      for (;;) {
        const found = all.find(matches)
        if (found !== undefined) return found
        const { promise, resolve } = Promise.withResolvers<void>()
        waiting.push(resolve)
        await promise
      }
    },
  }
}
