import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { guestPrefix } from '../tools/tiny-guest/tiny-guest.ts'
import { openConsole } from '../test/lab/clients/console-sockets.ts'
import { ask } from '../test/lab/clients/http.ts'
import { openSocket } from '../test/lab/clients/sockets.ts'
import { guestOn } from '../test/lab/guests/tiny-guest.ts'
import { type LabHost, startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import { type Product, startProduct } from '../test/lab/product/product.ts'
import { until } from '../test/lab/wait.ts'
import { demand, timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const rounds = 9
const password = 'Kirschkuchen-12'

/** Opens a serial or screen console of the guest. */
async function consoleOf({ url }: Product, type: 'serial' | 'vnc', token: string) {
  const { body } = await ask(url, `POST /api/console/tiny/${type}`, { token, json: {} })
  return openConsole(url, String(body['websocket_path']))
}

/** From a key that is pressed to its echo by the guest: over SSH, the gateway and a WebSocket. */
async function keyEcho(product: Product): Promise<number> {
  const viewer = await consoleOf(product, 'serial', product.token)
  await viewer.shows(`${guestPrefix} up`)
  const delays: number[] = []
  for (let key = 0; key < 15; key++) {
    const before = viewer.bytes().length
    delays.push(
      await timed(() => {
        viewer.socket.send(Buffer.from('x'))
        return until(() => viewer.bytes().length > before, { intervalMs: 1 })
      }),
    )
  }
  viewer.socket.close()
  return median(delays)
}

/** From `virsh start` and `virsh destroy` to the status in a list of VMs. */
async function shown(product: Product, host: LabHost): Promise<number> {
  const virsh = (...words: string[]) => localHost().runChecked('virsh', ['-q', '-c', host.uri, ...words])
  await demand(product, 'POST /api/vms', { id: 'seen', name: 'seen', memory: 128, cpus: 1, node: 'hv1' })
  const isShown = (status: string) => async () => {
    const { body } = await product.ask('GET /api/vms')
    return (body['data'] as { id: string; status: string }[]).some((vm) => vm.id === 'seen' && vm.status === status)
  }
  const delays: number[] = []
  for (let round = 0; round < rounds; round++)
    for (const [command, status] of [
      ['start', 'running'],
      ['destroy', 'stopped'],
    ] as const) {
      await virsh(command, 'seen')
      delays.push(await timed(() => until(isShown(status), { intervalMs: 5 })))
    }
  await demand(product, 'DELETE /api/vms/seen')
  return Math.max(...delays)
}

/** From the removal of a user's grant to the end of a console, and from a disabled user to the end of events and token. */
async function revoked(product: Product): Promise<{ console: number; user: number }> {
  const found: { console: number[]; user: number[] } = { console: [], user: [] }
  for (let round = 0; round < rounds; round++) {
    const username = `user-${round}`
    await product.ask('POST /api/users', { json: { username, password } })
    const json = {
      id: `grant-${round}`,
      subject: { kind: 'user', id: username },
      role: 'VmUser',
      path: '/api/vms/tiny',
    }
    await product.ask('POST /api/permissions', { json })
    const { body } = await ask(product.url, 'POST /api/auth/login', { json: { username, password } })
    const token = String(body['token'])
    const viewer = await consoleOf(product, 'vnc', token)
    const first = { token, topics: ['vm:events'] }
    const events = await openSocket(product.url, { first })
    await events.next('Subscribed')
    found.console.push(
      await timed(async () => {
        await product.ask(`DELETE /api/permissions/grant-${round}`)
        await viewer.closed
      }),
    )
    found.user.push(
      await timed(async () => {
        await product.ask(`PATCH /api/users/${username}`, { json: { enabled: false } })
        await events.closed
        const { status } = await ask(product.url, 'GET /api/auth/session', { token })
        if (status !== 401) throw new Error(`The token of a disabled user was answered ${status}`)
      }),
    )
  }
  return { console: Math.max(...found.console), user: Math.max(...found.user) }
}

/** The delays that the documentation promises, on one lab host: the median of keys, the longest of the others. */
export async function benchLatency(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const [host] = await startHosts(join(dir, 'hosts'), 1)
  const product = await startProduct([host!])
  try {
    const boot = await guestOn(host!)
    const given = { memory: 256, cpus: 1, node: 'hv1', graphics: ['vnc'], boot, start: true }
    await demand(product, 'POST /api/vms', { id: 'tiny', name: 'tiny', ...given })
    const { console: ofConsole, user } = await revoked(product)
    return [
      {
        what: 'a key on a serial console until its echo, median',
        value: await keyEcho(product),
        unit: 'ms',
        below: 50,
      },
      {
        what: 'a change by virsh until it is shown, longest',
        value: await shown(product, host!),
        unit: 'ms',
        below: 1000,
      },
      { what: 'a removed grant until its console is closed, longest', value: ofConsole, unit: 'ms', below: 2000 },
      { what: 'a disabled user until events and token end, longest', value: user, unit: 'ms', below: 1000 },
    ]
  } finally {
    await product.stop()
    await stopHosts(join(dir, 'hosts'))
    await rm(dir, { recursive: true, force: true })
  }
}
