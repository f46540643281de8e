import { chmod, chown, mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { config } from '#shared/config/config.ts'
import { UnavailableError } from '#shared/errors.ts'
import { accelerator } from '#shared/nodes/accelerator.ts'
import type { Host, HostProcess } from '#shared/nodes/host/host.ts'
import { collectTail } from '#shared/nodes/host/streams.ts'
import { log } from '#shared/runtime/log.ts'
import type { ByteSource } from '../../backups/nbd/serve-handshake.ts'
import { serveNbd } from '../../backups/nbd/server.ts'
import type { GuestImage } from './image.ts'
import { ports } from './init.ts'

/** Disks that a guest gets at most: each has a place on its bus. */
export const mostDisks = 24
const memoryMiB = 256
/** Bytes that a guest may write: journals that are replayed, into a file that has no name. */
const mostWrittenBytes = 512 * 2 ** 20
const startMs = 30_000
/** nobody and nogroup of Debian. */
const [nobody, nogroup] = [65_534, 65_534]

const isRoot = (): boolean => process.getuid?.() === 0

/** A guest that QEMU runs, with its two ports. */
export type Started = {
  control: Socket
  data: Socket
  /** Rejects with UnavailableError when QEMU ends. */
  ended: Promise<never>
  /** Removes the addresses of the sockets, when all are connected. */
  hide: () => Promise<void>
  /** Kills it. */
  close: () => Promise<void>
}

const commandLine = 'console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off cryptomgr.notests=1'

/** Arguments of QEMU: no network, no default devices, no files beside kernel and initrd. Disks are copies in memory of it. */
function qemuArguments(
  { kernel, initrd }: GuestImage,
  { dir, accel, names }: { dir: string; accel: 'kvm' | 'tcg'; names: readonly string[] },
): string[] {
  const disk = (name: string, index: number) => [
    '-drive',
    `if=none,id=d${index},snapshot=on,driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=${dir}/disks,file.export=${name}`,
    '-device',
    `virtio-blk-pci,drive=d${index},serial=${index}`,
  ]
  const port = (name: string) => [
    '-chardev',
    `socket,id=${name},path=${dir}/${name}`,
    '-device',
    `virtserialport,chardev=${name},name=${name}`,
  ]
  const words =
    '-nodefaults -no-user-config -no-reboot -display none -smp 1 -serial stdio -device virtio-serial-pci ' +
    '-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny ' +
    `-machine q35,accel=${accel},usb=off,smbus=off -cpu ${accel === 'kvm' ? 'host' : 'max'} -m ${memoryMiB}`
  return [
    ...words.split(' '),
    '-kernel',
    kernel,
    '-initrd',
    initrd,
    '-append',
    commandLine,
    ...Object.values(ports).flatMap(port),
    ...names.flatMap(disk),
  ]
}

/** Opens two files, whose folders the user of the guest may not be able to pass, and becomes the program. */
const openingFiles = 'exec 3<"$1" 4<"$2" && shift 2 && exec "$@"'
const openedFiles: GuestImage = { kernel: '/dev/fd/3', initrd: '/dev/fd/4' }

/**
 * Words that start a program which ends with this process, also when that is killed, and runs as nobody.
 * @param group has the device of KVM
 */
function confined(words: readonly string[], image: GuestImage, group: number | null): string[] {
  const groups = group === null ? ['--clear-groups'] : ['--groups', String(group)]
  const asNobody = ['--reuid', String(nobody), '--regid', String(nogroup), ...groups]
  const who = [...(isRoot() ? asNobody : []), '--no-new-privs', '--pdeathsig', 'KILL']
  const limits = ['prlimit', `--fsize=${mostWrittenBytes}`, '--core=0']
  return ['-c', openingFiles, 'sh', image.kernel, image.initrd, 'setpriv', ...who, ...limits, ...words]
}

/** Listens on a Unix socket that only the user of the guest may connect to. */
async function listen(path: string, onSocket: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: false }, onSocket)
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
  await chmod(path, 0o600)
  if (isRoot()) await chown(path, nobody, nogroup)
  return server
}

/** Folders of sockets have the process in their name. */
const prefix = 'horcrux-files-'

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Removes the folders of processes that were killed while a guest booted. The guests have ended with them. */
export async function sweepFolders(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const [, pid] = /^horcrux-files-(\d+)-/.exec(name) ?? []
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(tmpdir(), name), { recursive: true, force: true })
  }
}

/** Rejects after a time, until it is stopped. */
function deadline(ms: number, words: string): { over: Promise<never>; stop: () => void } {
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => undefined)
  const timer = setTimeout(() => reject(new UnavailableError(words)), ms)
  return { over: promise, stop: () => clearTimeout(timer) }
}

/**
 * Starts a guest on this machine with disks that it reads through NBD. It ends with this process.
 * @param disks by name; writes of the guest are lost
 * @throws UnavailableError when QEMU is missing, or does not start
 */
export async function startGuest(
  host: Host,
  image: GuestImage,
  disks: ReadonlyMap<string, ByteSource>,
): Promise<Started> {
  const qemu = await host.which('qemu-system-x86_64')
  if (!qemu) throw new UnavailableError(`${host.describe()} has no QEMU: install qemu-system-x86`)
  const { accelerator: accel } = await accelerator(host, config().vmAccel)
  // A short path: the address of a Unix socket has at most 107 bytes.
  const dir = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`))
  const sockets = new Set<Socket>()
  const servers: Server[] = []
  let running: HostProcess | undefined
  const hide = () => rm(dir, { recursive: true, force: true })
  const close = async () => {
    for (const server of servers) server.close()
    for (const socket of sockets) socket.destroy()
    await running?.kill()
    await hide()
  }
  const open = async (name: string, onSocket: (socket: Socket) => void) => {
    const server = await listen(join(dir, name), (socket) => {
      sockets.add(socket)
      // The guest ends with its sockets.
      socket.on('error', () => undefined)
      onSocket(socket)
    })
    servers.push(server)
  }
  const portOf = async (name: string) => {
    const { promise, resolve } = Promise.withResolvers<Socket>()
    await open(name, resolve)
    return promise
  }
  const start = deadline(startMs, `QEMU does not start within ${startMs / 1000} s`)
  try {
    if (isRoot()) await chown(dir, nobody, nogroup)
    await open('disks', (socket) => {
      serveNbd(socket, disks).catch((error: unknown) =>
        log('storage').debug({ err: error as Error }, 'a guest has left its disks'),
      )
    })
    const opened = Promise.all([portOf(ports.control), portOf(ports.data)])
    const words = [qemu, ...qemuArguments(openedFiles, { dir, accel, names: [...disks.keys()] })]
    const group = accel === 'kvm' ? ((await host.stat('/dev/kvm'))?.gid ?? null) : null
    running = await host.spawn('sh', confined(words, image, group), { env: { TMPDIR: tmpdir() } })
    const console = collectTail(running.stdout, 4000)
    const ended = running.exit.then(({ code, stderr }) => {
      throw new UnavailableError(
        `The guest that reads files has ended with code ${code}: ${stderr.trim() || console().trim()}`,
      )
    })
    ended.catch(() => undefined)
    const [control, data] = await Promise.race([opened, ended, start.over])
    return { control, data, ended, hide, close }
  } catch (error) {
    await close()
    throw error
  } finally {
    start.stop()
  }
}
