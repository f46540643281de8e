import { createServer, connect, type Server } from 'node:net'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { HostProcess } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { until } from '../wait.ts'
import type { LabHost } from './hosts.ts'

/** Listens in the namespace of a host, and connects each client to a Unix socket of this machine. */
const program = `
const { createServer, connect } = require('node:net')
const [port, path] = process.argv.slice(1)
createServer((client) => {
  const up = connect({ path })
  client.pipe(up).pipe(client)
  for (const end of [client, up]) end.on('error', () => [client, up].forEach((each) => each.destroy()))
}).listen(Number(port), '127.0.0.1', () => console.log('up'))
`

/** Gives a lab host ports of this machine's loopback on its own loopback. @returns a function that ends it */
export async function forwardLoopback({ netns, dir }: LabHost, ports: number[]): Promise<() => Promise<void>> {
  const host = localHost()
  const servers: Server[] = []
  const relays: HostProcess[] = []
  const paths: string[] = []
  for (const port of ports) {
    const path = join(dir, `p${port}.sock`)
    await rm(path, { force: true })
    const server = createServer((client) => {
      const up = connect({ port, host: '127.0.0.1' })
      client.pipe(up).pipe(client)
      for (const end of [client, up])
        end.on('error', () => {
          client.destroy()
          up.destroy()
        })
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
    const relay = await host.spawn('ip', ['netns', 'exec', netns, process.execPath, '-e', program, String(port), path])
    let said = ''
    relay.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    await until(() => said.includes('up'), { what: `port ${port} on ${netns}` })
    servers.push(server)
    relays.push(relay)
    paths.push(path)
  }
  return async () => {
    for (const relay of relays) await relay.kill()
    for (const server of servers) server.close()
    for (const path of paths) await rm(path, { force: true })
    await host.close()
  }
}
