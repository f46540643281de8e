import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { pipeline } from 'node:stream'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { LxdKind } from '#shared/nodes/lxd/engine.ts'
import { selfSigned } from '../../../services/gateway/tls/certificate.ts'
import { repository } from '../repository.ts'
import { until } from '../wait.ts'
import type { LabEngines } from './start.ts'

export type ImageServer = {
  /** Such as `https://127.0.0.1:40001`, in the network of the engines and in that of this process. */
  url: string
  /** SHA-256 fingerprint, pairs of digits with colons. */
  certificate: string
  /** The lines that it has printed. */
  heard: () => string[]
  stop: () => Promise<void>
}

const host = localHost()

/** Words that run a program in the network of the engines. */
async function inside(dir: string): Promise<string[]> {
  const pid = (await readFile(join(dir, 'inside'), 'utf8')).trim()
  return ['--net', `--target=${pid}`, 'setpriv', '--pdeathsig', 'KILL']
}

/** A free port of this network that leads to the same port of the engines' network, as the address of a server would. */
export async function bridge(dir: string): Promise<{ port: number; stop: () => Promise<void> }> {
  const words = await inside(dir)
  const open = new Set<() => Promise<void>>()
  const carry = async (client: Socket) => {
    const program = await host.spawn('nsenter', [...words, 'busybox', 'nc', '127.0.0.1', String(port)])
    open.add(program.kill)
    pipeline(client, program.stdin, () => undefined)
    pipeline(program.stdout, client, () => open.delete(program.kill))
  }
  const server = createServer((client) => void carry(client))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A TCP server has an address with a port.
  const { port } = server.address() as AddressInfo
  return {
    port,
    stop: async () => {
      server.close()
      await Promise.all([...open].map((kill) => kill()))
    },
  }
}

/** An image server in the network of the engines; image-server.ts tells what it has. */
export async function startImageServer({ dir, archive }: LabEngines): Promise<ImageServer> {
  const own = await mkdtemp(join(dir, 'is-'))
  const { key, cert } = await selfSigned({ names: ['images.test'], addresses: ['127.0.0.1'] }, 1)
  const pem = join(own, 'pem')
  await writeFile(pem, key + cert, { mode: 0o600 })
  const { port, stop } = await bridge(dir)
  const server = join(repository, 'test/lab/containers/image-server.ts')
  const words = [...(await inside(dir)), process.execPath, server, archive, pem, String(port)]
  const child = await host.spawn('nsenter', words)
  let text = ''
  child.stdout.on('data', (part: Buffer) => (text += part.toString()))
  await until(() => text.includes('ready\n'), { what: 'the image server' })
  return {
    url: `https://127.0.0.1:${port}`,
    certificate: new X509Certificate(cert).fingerprint256,
    heard: () => text.split('\n'),
    stop: async () => {
      await child.kill()
      await stop()
      await rm(own, { recursive: true, force: true })
    },
  }
}

/**
 * Lets an engine of the lab serve its public images.
 * @param name of an image, which becomes public
 */
export async function serveImages({ dir, config }: LabEngines, kind: LxdKind, name: string): Promise<ImageServer> {
  const { port, stop } = await bridge(dir)
  const ask = async (method: string, path: string, body?: object) => {
    const words = ['-sS', '--fail', '--unix-socket', config[kind]!.socket, '-X', method]
    const sent = body ? ['--data-binary', JSON.stringify(body)] : []
    const { stdout } = await host.runChecked('curl', [...words, ...sent, `http://engine/1.0${path}`])
    return (JSON.parse(stdout) as { metadata: { environment: Record<string, string>; target: string } }).metadata
  }
  const { target } = await ask('GET', `/images/aliases/${encodeURIComponent(name)}`)
  await ask('PATCH', `/images/${target}`, { public: true })
  await ask('PATCH', '', { config: { 'core.https_address': `127.0.0.1:${port}` } })
  const { environment } = await ask('GET', '')
  return {
    url: `https://127.0.0.1:${port}`,
    certificate: environment['certificate_fingerprint']!,
    heard: () => [],
    stop: async () => {
      await ask('PATCH', '', { config: { 'core.https_address': '' } })
      await stop()
    },
  }
}
