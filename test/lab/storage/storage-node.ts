import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import { inject } from 'vitest'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { scanHostKey, sshHost, type SshTarget } from '#shared/nodes/host/ssh/ssh.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { repository } from '../repository.ts'
import { available } from '../requirements.ts'
import '../setup.ts'

/** A guest with real OpenZFS, LVM and an SSH server; it has no udev. */
export type StorageNode = { host: Host; target: SshTarget }

/** The folder with its image, which is too large for the project. */
const image = process.env['HORCRUX_LAB_NODE'] ?? resolve(repository, '../shared/lab/storage-node')

/** ZFS below `tank`, without compression, so that written bytes are counted in full, and the volume group `vg`; made once. */
const prepare = `zpool list tank >/dev/null 2>&1 || zpool create -f -O compression=off tank /dev/vdb /dev/vdc
vgs vg >/dev/null 2>&1 || vgcreate -qq -y vg /dev/vdd`

/**
 * OpenSSH as most nodes have it, on port 2222: Dropbear, which the image has, forwards to no Unix socket. Its program is this
 * machine's, with the one library that the image lacks.
 */
const serveSsh = `grep -q ^sshd: /etc/passwd || echo 'sshd:x:74:74::/run/sshd:/usr/sbin/nologin' >>/etc/passwd
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f /run/sshd/key
/usr/sbin/sshd -f /dev/null -p 2222 -h /run/sshd/key -o StrictModes=no -o PidFile=none -o UsePAM=no -o MaxStartups=100 \
  -o 'Subsystem=sftp internal-sftp'
until (: </dev/tcp/127.0.0.1/2222) 2>/dev/null; do sleep 0.2; done`
const library = '/lib/x86_64-linux-gnu/libwrap.so.0'

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
  const dir = join(inject('run').dir, `storage-node-${process.env['VITEST_POOL_ID']}`)
  if (!existsSync(join(dir, 'port'))) await boot(script, dir)
  const target = await targetAt(dir, Number(await readFile(join(dir, 'port'), 'utf8')))
  const host = sshHost(target)
  await host.runChecked('sh', ['-c', prepare])
  return { host, target }
}

async function targetAt(dir: string, port: number): Promise<SshTarget> {
  const privateKey = await readFile(join(dir, 'id_ed25519'), 'utf8')
  const { fingerprint } = await scanHostKey('127.0.0.1', port)
  return { address: '127.0.0.1', port, user: 'root', privateKey, hostKey: fingerprint }
}

/** Boots the node, gives it an OpenSSH server, and forwards a port of this machine to that, which `DIR/port` then names. */
async function boot(script: string, dir: string): Promise<void> {
  const [dropbear, openSsh] = [await freePort(0), await freePort(0)]
  const machine = localHost()
  await machine.runChecked('bash', [script, dir, String(dropbear)], { timeoutMs: 180_000 })
  const node = sshHost(await targetAt(dir, dropbear))
  for (const [file, mode] of [
    ['/usr/sbin/sshd', 0o755],
    [library, 0o644],
  ] as const)
    await node.writeFile(file, await machine.readFile(file), { mode })
  await node.runChecked('bash', ['-c', serveSsh])
  await node.close()
  await toMonitor(join(dir, 'mon'), `hostfwd_add n0 tcp:127.0.0.1:${openSsh}-:2222`)
  await machine.writeFile(join(dir, 'port'), String(openSsh))
  await machine.close()
}

/** Gives QEMU's monitor a command. */
const toMonitor = (socket: string, command: string) =>
  new Promise<void>((resolve, reject) => {
    const monitor = connect(socket).once('error', reject)
    let said = ''
    monitor.on('data', (data) => {
      said += String(data)
      // The prompt after the greeting, and again after the command.
      if (said.split('(qemu) ').length > 2) monitor.end(resolve)
    })
    monitor.write(`${command}\n`)
  })
