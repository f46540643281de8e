import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { tickets } from '../../../services/vm/consoles/models.ts'
import { type ConsoleSocket, openConsole } from '../../lab/clients/console-sockets.ts'
import { guestOn } from '../../lab/guests/tiny-guest.ts'
import { ask } from '../../lab/clients/http.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { until } from '../../lab/wait.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const [host] = labHosts
const wait = { headers: { prefer: 'wait=60' } }
const password = 'Nebelkrähe-12'
let product: Product
let ann: string
let bob: string

async function signedIn(username: string): Promise<string> {
  const { body } = await ask(product.url, 'POST /api/auth/login', { json: { username, password } })
  return String(body['token'])
}
const ticketFor = async (line: string, token = product.token, json = {}) => {
  const answer = await ask(product.url, `POST /api/console/${line}`, { token, json })
  expect(answer.status, answer.text).toBe(201)
  return answer.body as { ticket: string; websocket_path: string; expires_at: string }
}
const open = async (line: string, token?: string, json = {}): Promise<ConsoleSocket> =>
  openConsole(product.url, (await ticketFor(line, token, json)).websocket_path)
const refused = (path: string, headers?: Record<string, string>) =>
  openConsole(product.url, path, headers).then(
    () => expect.unreachable('it was opened'),
    (error: Error & { status: number }) => error,
  )
const statusOf = async (ticket: string, token = product.token) =>
  ask(product.url, `GET /api/console/ticket/${ticket.split('.')[0]}`, { token })
const make = async (json: object) => {
  const made = await product.ask('POST /api/vms', { ...wait, json: { memory: 128, cpus: 1, node: 'hv1', ...json } })
  expect(made.body['state'], made.text).toBe('succeeded')
}
const records = async (kind: string) => {
  const { body } = await product.ask(`GET /api/audit/events?limit=1000&kind=${kind}`)
  return body['data'] as { kind: string; user: string; address: string; path: string; message: string }[]
}

beforeAll(async () => {
  const boot = await guestOn(host!)
  product = await startProduct([host!])
  await make({ id: 'tiny', name: 'tiny', memory: 256, boot, graphics: ['vnc', 'spice'], start: true })
  await make({ id: 'plain', name: 'plain', graphics: [], start: true })
  for (const username of ['ann', 'bob']) {
    await product.ask('POST /api/users', { json: { username, password } })
    await product.ask('POST /api/permissions', {
      json: { subject: { kind: 'user', id: username }, role: 'VmUser', path: '/api/vms/tiny' },
    })
  }
  ;[ann, bob] = [await signedIn('ann'), await signedIn('bob')]
  const text = async () => String((await product.ask('GET /api/vms/tiny/serial')).body['text'])
  await until(async () => (await text()).includes(`${guestPrefix} up`), { what: 'the guest' })
})
afterAll(() => product?.stop())

describe('a ticket', () => {
  test('opens one console once; its user can read its status, but not its secret', async () => {
    const asked = await ticketFor('tiny/vnc', ann)
    const [id = ''] = asked.ticket.split('.')
    const { created_at } = await tickets.require(id)
    expect(Math.round((Date.parse(asked.expires_at) - Date.parse(created_at)) / 60_000), 'minutes').toBe(5)
    expect((await statusOf(asked.ticket, ann)).body).toMatchObject({ status: 'unused', console_type: 'vnc' })
    const first = await openConsole(product.url, asked.websocket_path)
    expect(first.socket.protocol).toBe('binary')
    await first.shows('RFB 003.008')
    expect(await refused(asked.websocket_path)).toMatchObject({ status: 401 })
    const seen = await statusOf(asked.ticket, ann)
    expect(seen.body).toMatchObject({ status: 'open' })
    expect(seen.text).not.toContain(asked.ticket.split('.')[1])
    expect(await statusOf(asked.ticket, bob)).toMatchObject({ status: 404 })
    first.socket.close()
    await until(async () => (await statusOf(asked.ticket, ann)).body['status'] === 'closed')
    for (const kind of ['console_opened', 'console_closed'])
      await until(async () =>
        (await records(kind)).some(({ user, path }) => user === 'ann' && path === '/api/vms/tiny'),
      )
    expect((await records('console_opened'))[0]).toMatchObject({ address: '127.0.0.1' })
  })

  test('is refused for another user, another VM, a wrong secret, and after its time', async () => {
    const { ticket, websocket_path } = await ticketFor('tiny/serial', ann)
    expect(await refused(websocket_path, { authorization: `Bearer ${bob}` })).toMatchObject({ status: 403 })
    expect(await refused(websocket_path.replace('tiny', 'plain'))).toMatchObject({ status: 401 })
    expect(await refused(`${websocket_path.slice(0, -1)}${ticket.endsWith('0') ? '1' : '0'}`)).toMatchObject({
      status: 401,
    })
    expect(await refused('/api/console/tiny/websocket')).toMatchObject({ status: 422 })
    // None of this has used it up.
    const own = await openConsole(product.url, websocket_path, { authorization: `Bearer ${ann}` })
    own.socket.close()
    const late = await ticketFor('tiny/serial', ann)
    const [id = ''] = late.ticket.split('.')
    await tickets.updateWhere({ _id: id }, { set: { expires_at: new Date(Date.now() - 1).toISOString() } })
    expect(await refused(late.websocket_path)).toMatchObject({ status: 401 })
    expect((await statusOf(late.ticket, ann)).body).toMatchObject({ status: 'expired' })
  })

  test('is given only for an existing console, and only to a user with the right', async () => {
    expect(await ask(product.url, 'POST /api/console/plain/vnc', { token: ann })).toMatchObject({ status: 403 })
    expect(await product.ask('POST /api/console/plain/vnc')).toMatchObject({ status: 409 })
    expect(await product.ask('POST /api/console/nobody/vnc')).toMatchObject({ status: 404 })
    expect(await product.ask('POST /api/console/tiny/telnet')).toMatchObject({ status: 422 })
    expect(await ask(product.url, 'POST /api/console/tiny/vnc')).toMatchObject({ status: 401 })
  })

  test("is refused to a page of another origin that sends the user's cookie", async () => {
    const login = await ask(product.url, 'POST /api/auth/login', { json: { username: 'ann', password } })
    const cookie = login.headers['set-cookie']!.split(';')[0]!
    const { websocket_path } = await ticketFor('tiny/vnc', ann)
    expect(await refused(websocket_path, { cookie, origin: 'https://evil.example' })).toMatchObject({ status: 403 })
  })
})

test('a display has several viewers at once', async () => {
  const viewers = await Promise.all([open('tiny/vnc', ann), open('tiny/vnc', bob), open('tiny/vnc')])
  for (const viewer of viewers) await viewer.shows('RFB 003.008')
  for (const { socket } of viewers) socket.close()
})

test('a serial console is shared: each viewer sees the keys of the others, a late viewer also the earlier output', async () => {
  const first = await open('tiny/serial', ann)
  await first.shows(`${guestPrefix} up`)
  const second = await open('tiny/serial', bob)
  await second.shows(`${guestPrefix} up`)
  first.socket.send(Buffer.from('echo $((6*7))-for-all\n'))
  await Promise.all([first.shows('42-for-all'), second.shows('42-for-all')])
  second.socket.send(Buffer.from('echo $((7*7))-back\n'))
  await Promise.all([first.shows('49-back'), second.shows('49-back')])

  for (const { socket } of [first, second]) socket.close()
})

test('text is typed and read without a WebSocket', async () => {
  const typed = await ask(product.url, 'POST /api/vms/tiny/serial', {
    token: ann,
    json: { text: 'echo $((5*5))-typed\n' },
  })
  expect(typed.status, typed.text).toBe(204)
  const text = async () => String((await ask(product.url, 'GET /api/vms/tiny/serial', { token: ann })).body['text'])
  await until(async () => (await text()).includes('25-typed'), { what: 'the answer' })
  expect(await ask(product.url, 'POST /api/vms/plain/serial', { token: ann, json: { text: 'x' } })).toMatchObject({
    status: 403,
  })
})

test('a serial console is recorded when that is asked for, as asciicast that can be fetched and deleted', async () => {
  const viewer = await open('tiny/serial', ann, { record: true })
  viewer.socket.send(Buffer.from('echo $((11*11))-recorded\n'))
  await viewer.shows('121-recorded')
  const list = async () => {
    const { body } = await ask(product.url, 'GET /api/console/tiny/recordings', { token: ann })
    return body['data'] as { id: string; ended_at: string | null; user: string; size_bytes: number }[]
  }
  const [begun] = await list()
  expect(begun).toMatchObject({ user: 'ann', ended_at: null })
  const path = `/api/console/tiny/recordings/${begun!.id}`
  expect(await product.ask(`DELETE ${path}`)).toMatchObject({ status: 409 })
  viewer.socket.close()
  await until(async () => (await list())[0]?.ended_at, { what: 'the end of the recording' })

  const cast = await ask(product.url, `GET ${path}/cast`, { token: ann })
  expect(cast).toMatchObject({ status: 200, headers: { 'content-type': 'application/x-asciicast' } })
  const [head, ...events] = cast.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
  expect(head).toMatchObject({ version: 2, width: 80, height: 24 })
  const rows = events as [number, string, string][]
  expect(rows.map(([, kind]) => kind).every((kind) => kind === 'o')).toBe(true)
  expect(rows.map(([, , text]) => text).join('')).toContain('121-recorded')
  expect(rows.every(([at], index) => index === 0 || at >= rows[index - 1]![0])).toBe(true)
  await until(async () => (await records('console_opened')).some(({ message }) => message === 'recorded'))

  expect(await ask(product.url, `GET ${path.replace('tiny', 'plain')}`, { token: product.token })).toMatchObject({
    status: 404,
  })
  expect(await ask(product.url, `DELETE ${path}`, { token: ann })).toMatchObject({ status: 403 })
  expect(await product.ask(`DELETE ${path}`)).toMatchObject({ status: 204 })
  expect(await list()).toEqual([])
})

test('a recording keeps a burst whole, and notes the characters that it drops from a flood', async () => {
  const viewer = await open('plain/serial', product.token, { record: true })
  const { stdout } = await localHost().runChecked('ip', ['netns', 'pids', host!.netns])
  const log = '/var/lib/horcrux/serial/plain.log'
  const shows = (script: string) =>
    localHost().runChecked('nsenter', ['-m', '-t', stdout.trim().split('\n')[0]!, 'sh', '-c', `${script} >>${log}`])
  const recording = async () => {
    const { body } = await product.ask('GET /api/console/plain/recordings')
    return (body['data'] as { id: string; size_bytes: number; complete: boolean; reason?: string }[])[0]!
  }
  const isLarge = (bytes: number) => async () => (await recording()).size_bytes > bytes
  await shows('yes burst | head -c 600000')
  await until(isLarge(600_000), { what: 'all of a burst' })
  expect(await recording()).toMatchObject({ complete: true })
  await shows('yes too-much | head -c 6000000')
  await until(isLarge(1_200_000), { what: 'a part of the flood' })
  const cast = async () => (await product.ask(`GET /api/console/plain/recordings/${(await recording()).id}/cast`)).text
  const goesOn = async () => {
    await shows('echo after-the-flood')
    return (await cast()).includes('after-the-flood')
  }
  await until(goesOn, { what: 'what comes after' })
  viewer.socket.close()
  expect(await cast()).toMatch(/\d+ characters are left out here/)
  expect(await recording()).toMatchObject({
    complete: false,
    reason: expect.stringMatching(/faster than it could be kept/),
  })
})

test('recording a screen is refused: only serial consoles are recorded', async () => {
  const asked = await ask(product.url, 'POST /api/console/tiny/vnc', { token: ann, json: { record: true } })
  expect(asked).toMatchObject({ status: 422 })
})

test('a revoked right and an ended session close the open console', async () => {
  const viewer = await open('tiny/vnc', bob)
  await viewer.shows('RFB')
  const { body } = await product.ask('GET /api/permissions?limit=1000')
  const grants = body['data'] as { id: string; subject: { id: string } }[]
  await product.ask(`DELETE /api/permissions/${grants.find(({ subject }) => subject.id === 'bob')!.id}`)
  expect(await viewer.closed).toMatchObject({ code: 4403, reason: expect.stringContaining('VmConsole') })

  const leaving = await signedIn('ann')
  const left = await open('tiny/serial', leaving)
  await ask(product.url, 'POST /api/auth/logout', { token: leaving })
  expect(await left.closed).toMatchObject({ code: 4401 })
})

test('a stopped VM closes all its consoles with the reason', async () => {
  const [screen, serial] = [await open('tiny/vnc'), await open('tiny/serial')]
  await screen.shows('RFB')
  expect(await product.ask('POST /api/vms/tiny/stop', wait)).toMatchObject({ body: { state: 'succeeded' } })
  expect(await screen.closed).toMatchObject({ code: 4410, reason: expect.stringContaining('stopped') })
  expect(await serial.closed).toEqual({ code: 4410, reason: 'The virtual machine was stopped' })
  expect(await product.ask('POST /api/console/tiny/vnc')).toMatchObject({
    status: 409,
    body: { message: expect.stringContaining('must be running or paused') },
  })
})
