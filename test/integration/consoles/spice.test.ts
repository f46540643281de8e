import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { openConsole } from '../../lab/clients/console-sockets.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { until } from '../../lab/wait.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const [host] = labHosts
const wait = { headers: { prefer: 'wait=60' } }
let product: Product

beforeAll(async () => {
  product = await startProduct([host!])
  const json = { id: 'spicy', name: 'spicy', memory: 128, cpus: 1, node: 'hv1', graphics: ['spice'], video: 'qxl' }
  const made = await product.ask('POST /api/vms', { ...wait, json: { ...json, start: true } })
  expect(made.body['state'], made.text).toBe('succeeded')
})
afterAll(() => product?.stop())

const ticket = async (type = 'spice') => {
  const { body, status, text } = await product.ask(`POST /api/console/spicy/${type}`, { json: {} })
  expect(status, text).toBe(201)
  return { ticket: String(body['ticket']), path: String(body['websocket_path']) }
}

/**
 * The first message of a SPICE client (SpiceLinkHeader and SpiceLinkMess of the SPICE protocol): version 2.2, and a
 * channel of this type (1 is main) with no capabilities.
 */
function link(channel: number): Buffer {
  const words = Buffer.alloc(16 + 18)
  words.write('REDQ', 0, 'latin1')
  words.writeUInt32LE(2, 4)
  words.writeUInt32LE(2, 8)
  words.writeUInt32LE(18, 12)
  words.writeUInt8(channel, 20)
  words.writeUInt32LE(18, 30)
  return words
}

/** What remote-viewer does with `proxy=` and `host=` of its file. */
async function throughProxy(name: string, port: number): Promise<{ socket: Socket; answer: () => string }> {
  const { hostname, port: own } = new URL(product.url)
  const socket = connect(Number(own), hostname)
  await once(socket, 'connect')
  const parts: Buffer[] = []
  socket.on('data', (part: Buffer) => parts.push(part)).on('error', () => undefined)
  socket.write(`CONNECT ${name}:${port} HTTP/1.0\r\n\r\n`)
  const answer = () => Buffer.concat(parts).toString('latin1')
  await until(() => answer().includes('\r\n\r\n'), { what: "the proxy's answer" })
  return { socket, answer }
}

test('the .vv file leads remote-viewer through the gateway to the display, with all its channels on one ticket', async () => {
  const asked = await ticket()
  const file = await product.ask(`GET /api/console/spicy/vv?ticket=${asked.ticket}`)
  expect(file).toMatchObject({ status: 200, headers: { 'content-type': 'application/x-virt-viewer' } })
  const settings = new Map(file.text.split('\n').map((line) => line.split(/=(.*)/) as [string, string]))
  expect(settings.get('type')).toBe('spice')
  expect(settings.get('proxy')).toBe(product.url)
  const [name, port] = [settings.get('host')!, Number(settings.get('port'))]

  const main = await throughProxy(name, port)
  main.socket.write(link(1))
  await until(() => main.answer().includes('\r\n\r\nREDQ'), { what: "the display's answer" })
  const second = await throughProxy(name, port)
  expect(second.answer()).toMatch(/^HTTP\/1\.1 200 /)
  const status = async () => (await product.ask(`GET /api/console/ticket/${asked.ticket.split('.')[0]}`)).body['status']
  expect(await status()).toBe('open')
  // One that vanishes is noticed: the kernel asks after it.
  const { stdout } = await localHost().runChecked('ss', ['-tnoH', 'sport', '=', `:${new URL(product.url).port}`])
  const ours = stdout.split('\n').find((line) => line.includes(`:${main.socket.localPort} `))
  expect(ours).toMatch(/timer:\(keepalive,/)
  for (const { socket } of [main, second]) socket.destroy()
  await until(async () => (await status()) === 'closed', { what: 'the end of the session' })
  expect((await throughProxy(name, port)).answer()).toMatch(/^HTTP\/1\.1 401 /)
  expect(await product.ask(`GET /api/console/spicy/vv?ticket=${asked.ticket}`)).toMatchObject({ status: 401 })
})

test('SPICE is there by WebSocket as well, and a proxy for nothing else', async () => {
  const viewer = await openConsole(product.url, (await ticket()).path)
  viewer.socket.send(link(1))
  await viewer.shows('REDQ')
  viewer.socket.close()
  expect((await throughProxy('127.0.0.1', 22)).answer()).toMatch(/^HTTP\/1\.1 400 /)
  const serial = await ticket('serial')
  expect((await throughProxy(serial.ticket, 5900)).answer()).toMatch(/^HTTP\/1\.1 400 /)
  expect(await product.ask(`GET /api/console/spicy/vv?ticket=${(await ticket('serial')).ticket}`)).toMatchObject({
    status: 409,
  })
})

test('a session whose display cannot be opened is over', async () => {
  const asked = await ticket()
  const { stdout } = await localHost().runChecked('ip', ['netns', 'pids', host!.netns])
  const inside = ['-m', '-t', stdout.trim().split('\n')[0]!]
  const folders = ['/var/lib/libvirt/qemu', '/run/libvirt/qemu']
  const find = ['find', ...folders, '-path', '*-spicy*/spice.sock', '-execdir', 'mv', '{}', '{}.away', ';', '-print']
  const found = await localHost().runChecked('nsenter', [...inside, ...find])
  expect(found.stdout.trim().split('\n')).toHaveLength(1)
  const path = found.stdout.trim()
  expect((await throughProxy(asked.ticket, 5900)).answer()).toMatch(/^HTTP\/1\.1 503 /)
  const look = () => product.ask(`GET /api/console/ticket/${asked.ticket.split('.')[0]}`)
  await until(async () => (await look()).body['status'] === 'closed', { what: 'the end of the session' })
  await localHost().runChecked('nsenter', [...inside, 'mv', `${path}.away`, path])
})
