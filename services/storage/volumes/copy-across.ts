import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Params, Result } from '#shared/contract/contract.ts'
import { localNode } from '#shared/contracts/common.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { hostFor } from '#shared/nodes/host/hosts.ts'
import { secretObjects, withSecretFiles } from '#shared/nodes/host/secret-files.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { fileOfOriginal } from '../images/images.ts'
import { dataBytes, type ImageFile, longQemuImg, percentIn } from '../images/qemu-img.ts'
import { openPool, type OpenPool } from '../pools/open-pool.ts'
import { takenOf } from '../snapshots/records.ts'
import type { VolumeRecord } from '../models.ts'
import { contentOf } from './clone.ts'
import { requireOwned } from './records.ts'

type Input = Params<typeof volumesInternal, 'copyAcross'>
type Copied = Result<typeof volumesInternal, 'copyAcross'>

const socketWithinMs = 20_000

/**
 * Serves an image of a node as a Unix socket of this machine, through the connection to the node, while `use` runs. The
 * server on the node ends with its last client, or with this process.
 */
async function served<T>(
  host: Host,
  folder: string,
  image: ImageFile,
  { isReadOnly, isCompressed }: { isReadOnly: boolean; isCompressed: boolean },
  use: (socket: string) => Promise<T>,
): Promise<T> {
  await host.mkdir(folder, { mode: 0o700 })
  const path = `${folder}/${randomUUID().slice(0, 8)}.sock`
  const secrets = image.secret === undefined ? [] : [image.secret]
  const words = ['--socket', path, '--format', image.format, '--cache=writeback', '--discard=unmap']
  const args = [...secretObjects(secrets.length), ...words, ...(isReadOnly ? ['--read-only'] : []), image.path]
  const over = new AbortController()
  const setpriv = await host.which('setpriv')
  const [program, before] = setpriv ? [setpriv, ['--pdeathsig', 'KILL', 'qemu-nbd']] : ['qemu-nbd', []]
  const options = { signal: over.signal, timeoutMs: Infinity }
  const ended = withSecretFiles(host, program, [...before, ...args], secrets, options).then(
    ({ code, stderr }) => (code === 0 ? null : stderr.trim()),
    (error: Error) => error.message,
  )
  try {
    await listening(host, path, ended)
    const own = isCompressed ? host.compressed?.() : undefined
    const forward = await (own ?? host).forwardSocket({ path })
    try {
      return await use(forward.path)
    } finally {
      await forward.close()
      await own?.close()
    }
  } finally {
    over.abort()
    await ended
    await host.remove(path)
  }
}

/** Waits for a server's socket. @throws ConflictError in its words when it has ended */
async function listening(host: Host, path: string, ended: Promise<string | null>): Promise<void> {
  const deadline = Date.now() + socketWithinMs
  let why: string | null | undefined
  void ended.then((words) => (why = words ?? 'it has ended'))
  while (!(await host.stat(path))) {
    if (why !== undefined) throw new ConflictError(`qemu-nbd on ${host.describe()}: ${why}`)
    if (Date.now() > deadline) throw new UnavailableError(`qemu-nbd on ${host.describe()} does not listen`)
    await delay(50)
  }
}

const folderOn = async (node: string) => `${(await reach(node)).node.state_dir}/nbd`

/** A volume, or a snapshot of it, as an image for tools of QEMU. */
const fileOf = async (opened: OpenPool, record: VolumeRecord, snapshot?: string): Promise<ImageFile> =>
  fileOfOriginal(await contentOf(opened, record, snapshot))

/**
 * Copies between two nodes that need not reach each other: both images are served over the connections that Horcrux has to
 * them, and read and written from here. Ranges without data are left out.
 */
async function copyNow(op: Op, { from, to, bytes_per_second, is_compressed }: Input): Promise<Copied> {
  const [source, target] = await Promise.all([
    requireOwned(from.id, from.volume, from.owner),
    requireOwned(to.id, to.volume, to.owner),
  ])
  const { size_bytes } = from.snapshot === undefined ? source : await takenOf(source, from.snapshot)
  if (size_bytes > target.size_bytes)
    throw new ConflictError(`Volume '${target.id}' has ${target.size_bytes} bytes, '${source.id}' ${size_bytes}`)
  const [there, here] = await Promise.all([openPool(from.id, from.node), openPool(to.id, to.node)])
  const [read, write] = await Promise.all([fileOf(there, source, from.snapshot), fileOf(here, target)])
  const secrets = read.secret === undefined ? [] : [read.secret]
  const total = await dataBytes(there.host, read.path, read.format, secrets)
  op.progress(0, total, 'bytes')
  const onStdout = (chunk: Buffer) => {
    const percent = percentIn(chunk.toString('latin1'))
    if (percent !== undefined) op.progress(Math.round((total * percent) / 100), total, 'bytes')
  }
  const rate = bytes_per_second === undefined ? [] : ['-r', String(bytes_per_second)]
  const isCompressed = is_compressed === true
  const urlOf = (socket: string) => `nbd+unix:///?socket=${encodeURIComponent(socket)}`
  // The target was made empty; a try that was interrupted has written nothing but parts of the same source.
  const words = [
    'convert',
    '-p',
    '-n',
    '-t',
    'writeback',
    '--target-is-zero',
    '-W',
    '-m',
    '8',
    '-f',
    'raw',
    '-O',
    'raw',
    ...rate,
  ]
  const [readFolder, writeFolder] = await Promise.all([folderOn(from.node), folderOn(to.node)])
  await served(there.host, readFolder, read, { isReadOnly: true, isCompressed }, (reading) =>
    served(here.host, writeFolder, write, { isReadOnly: false, isCompressed }, (writing) =>
      longQemuImg(hostFor(localNode, { kind: localNode }), [...words, urlOf(reading), urlOf(writing)], {
        signal: op.signal,
        onStdout,
      }),
    ),
  )
  op.progress(total, total, 'bytes')
  return { data_bytes: total }
}

export const copyAcross = operation({
  accept: async (input: Input) => input,
  run: (op, input): Promise<Copied> => op.step('copying bytes', () => copyNow(op, input)),
})
