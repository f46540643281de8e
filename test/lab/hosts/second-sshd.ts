import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { scanHostKey } from '#shared/nodes/host/ssh/ssh.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { until } from '../wait.ts'
import type { LabHost } from './hosts.ts'

/** Another sshd in the network of a lab host, with a host key of its own; `dir` is the test's. */
export async function secondSshd({ netns, address, keyFile }: LabHost, port: number, dir: string) {
  const machine = localHost()
  await mkdir('/run/sshd', { recursive: true })
  await mkdir(dir, { recursive: true })
  let number = 0
  /** Starts it with a new host key. @returns the fingerprint, and a function that ends it */
  const start = async () => {
    const key = join(dir, `key-${(number += 1)}`)
    await machine.runChecked('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
    const options = ['StrictModes=no', 'PidFile=none', 'UsePAM=no', 'MaxStartups=100', 'Subsystem=sftp internal-sftp']
    const all = [`ListenAddress=${address}:${port}`, `AuthorizedKeysFile=${keyFile}.pub`, ...options]
    const words = ['-D', '-f', '/dev/null', '-h', key, ...all.flatMap((option) => ['-o', option])]
    // In a namespace of processes, so that its open connections end with it.
    const apart = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
    const own = ['setpriv', '--pdeathsig', 'KILL', ...apart, '/usr/sbin/sshd', ...words]
    const sshd = await machine.spawn('ip', ['netns', 'exec', netns, ...own])
    sshd.stdout.resume()
    const shown = () => scanHostKey(address, port).catch(() => null)
    await until(async () => (await shown()) !== null, { what: 'the second sshd' })
    return { fingerprint: (await shown())!.fingerprint, stop: () => sshd.kill() }
  }
  return { start }
}
