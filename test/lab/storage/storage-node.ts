import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { inject } from 'vitest'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { scanHostKey, sshHost, type SshTarget } from '#shared/nodes/host/ssh/ssh.ts'
import { repository } from '../repository.ts'
import { available } from '../requirements.ts'
import '../setup.ts'

/** A guest with real OpenZFS, LVM and an SSH server; it has no udev. */
export type StorageNode = { host: Host; target: SshTarget }

/** The folder with its image, which is too large for the project. */
const image = process.env['HORCRUX_LAB_NODE'] ?? resolve(repository, '../shared/lab/storage-node')

const freePort = () =>
  new Promise<number>((found, failed) => {
    const server = createServer().once('error', failed)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => found(typeof address === 'object' && address ? address.port : 0))
    })
  })

/** ZFS below `tank`, without compression, so that written bytes are counted in full, and the volume group `vg`; made once. */
const prepare = `zpool list tank >/dev/null 2>&1 || zpool create -f -O compression=off tank /dev/vdb /dev/vdc
vgs vg >/dev/null 2>&1 || vgcreate -qq -y vg /dev/vdd`

let started: Promise<StorageNode | null> | undefined

/**
 * The storage node of this worker of vitest; null, said aloud, where its image is missing. The first file that asks for it
 * boots it, the files that the worker runs after it find it, and the run ends it.
 */
export const storageNode = (): Promise<StorageNode | null> => (started ??= start())

async function start(): Promise<StorageNode | null> {
  const script = join(image, 'up.sh')
  const problems = existsSync(script) ? [] : [`${script} (HORCRUX_LAB_NODE names its folder)`]
  if (!available('storage-node', problems)) return null
  const machine = localHost()
  const dir = join(inject('run').dir, `storage-node-${process.env['VITEST_POOL_ID']}`)
  if (!existsSync(join(dir, 'port'))) {
    const port = await freePort()
    await machine.runChecked('bash', [script, dir, String(port)], { timeoutMs: 180_000 })
    await machine.writeFile(join(dir, 'port'), String(port))
  }
  await machine.close()
  const at = { address: '127.0.0.1', port: Number(await readFile(join(dir, 'port'), 'utf8')), user: 'root' }
  const privateKey = await readFile(join(dir, 'id_ed25519'), 'utf8')
  const { fingerprint } = await scanHostKey(at.address, at.port)
  const target = { ...at, privateKey, hostKey: fingerprint }
  const host = sshHost(target)
  await host.runChecked('sh', ['-c', prepare])
  return { host, target }
}
