import type { Host } from '#shared/nodes/host/host.ts'
import { hostFor } from '#shared/nodes/host/hosts.ts'
import { type LabHost, sshTarget } from '../hosts/hosts.ts'

const MiB = 2 ** 20
const pool = '/var/lib/libvirt/images/pool'

/** The images of the pool `images` of a lab host, looked at with QEMU's own tools and nothing of ours. */
export function imagesOf(lab: LabHost) {
  const host: Host = hostFor(`images-${lab.name}`, { kind: 'ssh', ...sshTarget(lab) })
  const formatOf = (file: string) => file.slice(file.lastIndexOf('.') + 1)
  const io = (file: string, command: string) =>
    host.runChecked('qemu-io', ['-f', formatOf(file), '-c', command, `${pool}/${file}`], { timeoutMs: 120_000 })
  return {
    host,
    pathOf: (file: string) => `${pool}/${file}`,
    files: async () => (await host.list(pool)).map(({ name }) => name),
    /** Fills a piece of an image with a byte. */
    write: async (file: string, byte: number, atMiB: number, lengthMiB: number) => {
      await io(file, `write -P ${byte} ${atMiB * MiB} ${lengthMiB * MiB}`)
    },
    /** Whether a piece of an image is all of this byte. */
    holds: async (file: string, byte: number, atMiB: number, lengthMiB: number) => {
      const { stdout } = await io(file, `read -P ${byte} ${atMiB * MiB} ${lengthMiB * MiB}`)
      return !stdout.includes('Pattern verification failed')
    },
    /** Whether two images look the same to a guest. */
    areEqual: async (a: string, b: string) => {
      const words = ['compare', '-f', formatOf(a), '-F', formatOf(b), `${pool}/${a}`, `${pool}/${b}`]
      const { code, stderr } = await host.run('qemu-img', words, { timeoutMs: 120_000 })
      if (code > 1) throw new Error(stderr)
      return code === 0
    },
    /** The checksum of the file itself: of its data and the places of its holes, without reading a gibibyte of zeros. */
    checksum: async (file: string) => {
      const script = 'set -o pipefail; tar --absolute-names --sparse --mtime=@0 -cf - "$0" | sha256sum'
      return (await host.runChecked('bash', ['-c', script, `${pool}/${file}`])).stdout
    },
    info: async (file: string) =>
      JSON.parse((await host.runChecked('qemu-img', ['info', '--output=json', `${pool}/${file}`])).stdout) as Record<
        string,
        unknown
      >,
    /** Slows qemu-img's copy to an image to a tenth, by stopping it most of the time. @returns a function that ends this */
    slowDown: async (words: string) => {
      // The brackets keep the pattern from finding the loop itself.
      const loop = `while :; do p=$(pgrep -f 'qemu-im[g] convert.*${words}') && { kill -STOP $p; sleep 0.09; kill -CONT $p; }; sleep 0.01; done`
      const slowing = await host.spawn('bash', ['-c', loop])
      slowing.stdout.resume()
      return async () => {
        await slowing.kill()
        await host.run('bash', ['-c', `kill -CONT $(pgrep -f 'qemu-im[g] convert.*${words}')`])
      }
    },
    /** The processes of the host that have a name with these words in their command line. */
    processes: async (words: string) => {
      const { stdout } = await host.run('pgrep', ['-f', '-a', words])
      return stdout.split('\n').filter((line) => line && !line.includes('pgrep'))
    },
  }
}
