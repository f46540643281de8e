import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import type { Result } from '#shared/contract/contract.ts'
import { containerMaker, useEngines } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { ask } from '../../lab/clients/http.ts'
import { sample, seedOf } from '../../lab/faults/seed.ts'
import { openStreamSocket, type StreamSocket } from '../../lab/clients/stream-sockets.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const lab = await labEngines()
const password = 'Nebelkrähe-12'
const tag = randomBytes(3).toString('hex')
/** The parts above the drivers are the same on all engines: some of them are drawn for these. */
const drawn = sample(lab.engines, seedOf('streams of containers'), 2)
let product: Product
let make: ReturnType<typeof containerMaker>

beforeAll(async () => {
  product = await startProduct([], { allowedPaths: [lab.dir] })
  await useEngines(product.horcrux, lab)
  make = containerMaker(product.horcrux, lab)
})
afterAll(() => product?.stop())

const ticketFor = async (id: string, kind: 'exec' | 'attach' | 'logs', json: object = {}, token = product.token) => {
  const answer = await until(
    async () => {
      const found = await ask(product.url, `POST /api/containers/${id}/${kind}/socket`, { token, json })
      // An engine of a busy machine may not answer in time.
      return found.status !== 503 && found
    },
    { what: 'an answer' },
  )
  expect(answer.status, answer.text).toBe(201)
  return String(answer.body['websocket_path'])
}
const open = async (...asked: Parameters<typeof ticketFor>): Promise<StreamSocket> =>
  openStreamSocket(product.url, await ticketFor(...asked))
const records = async (kind: string, id: string) => {
  const { body } = await product.ask(`GET /api/audit/events?limit=1000&kind=${kind}`)
  const all = body['data'] as { path: string; user: string; message: string | null }[]
  return all.filter(({ path }) => path === `/api/containers/${id}`)
}
const exec = async (id: string, script: string) =>
  (await done(product.horcrux, containers, 'exec', { id, command: ['/bin/sh', '-c', script] })) as Result<
    typeof containers,
    'exec'
  >

/** An older Docker gives a terminal its size right after the command has begun. */
const waitForSize = (size: string) => `until stty size | grep '${size}'; do sleep 0.1; done`

describe.each(lab.engines)('a command over a WebSocket, in a container of %s', (runtime) => {
  const id = `stream-${runtime}-${tag}`
  const sh = (script: string, more: object = {}) => open(id, 'exec', { command: ['/bin/sh', '-c', script], ...more })

  beforeAll(() => make(runtime, id, { start: true }))
  afterAll(() => done(product.horcrux, containers, 'delete', { id, force: true }))

  test('has its output and errors apart, input to its end, and its exit code last', async () => {
    const command = await sh('cat; echo err >&2; exit 7')
    command.type('one\n')
    await command.shows('one\n')
    command.type('two\n')
    command.tell({ end_input: true })
    expect(await command.closed).toMatchObject({ code: 1000 })
    expect(command.stdout()).toBe('one\ntwo\n')
    expect(command.stderr()).toBe('err\n')
    expect(command.texts()).toEqual([{ exit_code: 7, reason: 'exited' }])
    await until(async () => (await records('console_closed', id)).length > 0, { what: 'the record of its end' })
    expect(await records('container_exec', id)).not.toHaveLength(0)
  })

  test('on a terminal has the size that it was given, and the next one', async () => {
    const shell = await sh(`${waitForSize('37 101')}; read line; ${waitForSize('23 78')}; tty`, {
      terminal: { columns: 101, rows: 37 },
    })
    await shell.shows('37 101')
    shell.tell({ resize: { columns: 77, rows: 22 } })
    // The answer to a second resize comes after the first one has had its effect.
    shell.tell({ resize: { columns: 78, rows: 23 } })
    shell.type('\r')
    await shell.closed
    expect(shell.stdout()).toContain('23 78')
    expect(shell.stdout()).toContain('/dev/pts/')
    expect(shell.texts().at(-1)).toEqual({ exit_code: 0, reason: 'exited' })
  })

  test('keeps a size that it is given before it has begun', async () => {
    // LXD 5.0 loses output on a terminal whose command ends at once, also that of its own `lxc exec -t`.
    const shell = await sh(`${waitForSize('24 91')}; echo sized; read line`, { terminal: { columns: 80, rows: 24 } })
    shell.tell({ resize: { columns: 91, rows: 24 } })
    await shell.shows('sized')
    shell.type('\r')
    await shell.closed
  })

  test('gets signals', async () => {
    const command = await sh(
      "trap 'echo hup' HUP; trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.1; done",
    )
    await command.shows('ready')
    command.tell({ signal: 'HUP' })
    await command.shows('hup')
    command.tell({ signal: 'TERM' })
    await command.closed
    expect(command.stdout()).toBe('ready\nhup\nterm\n')
    expect(command.texts()).toEqual([{ exit_code: 3, reason: 'exited' }])
  })

  test('that is not there says so', async () => {
    const missing = await open(id, 'exec', { command: ['/no/such/command'] })
    await missing.closed
    expect(missing.texts().at(-1)).toEqual({ exit_code: 127, reason: 'not_found' })
  })

  test.runIf(drawn.includes(runtime))('loses no byte to a client that reads slowly, and waits for it', async () => {
    const size = 8_000_000
    const command = await sh(`head -c ${size} /dev/zero | tr '\\0' x; echo end; date >/tmp/over`)
    command.socket.pause()
    // Far more than all buffers hold: it cannot have ended.
    expect((await exec(id, 'sleep 0.5; ls /tmp/over')).exit_code).not.toBe(0)
    command.socket.resume()
    expect(await command.closed).toMatchObject({ code: 1000 })
    expect(command.stdout()).toHaveLength(size + 'end\n'.length)
    expect(command.stdout().endsWith('xend\n')).toBe(true)
  })

  test.runIf(drawn.includes(runtime))('takes input as fast as it is read', async () => {
    const command = await sh('sleep 0.3; wc -c')
    const chunk = Buffer.alloc(50_000, 'y')
    for (let sent = 0; sent < 100; sent++) command.socket.send(chunk)
    command.tell({ end_input: true })
    await command.closed
    expect(command.stdout().trim()).toBe('5000000')
  })

  test('is killed with all that it has started when its client goes, and leaves no other session', async () => {
    const command = await sh('sleep 41 & (sleep 42 &); echo begun; sleep 43')
    await command.shows('begun')
    command.socket.terminate()
    await until(async () => (await exec(id, 'ps | grep -c "[s]leep 4"')).stdout.trim() === '0', { what: 'its end' })
  })

  test('that ends by itself leaves what it has put into the background', async () => {
    const command = await sh('sleep 61 >/dev/null 2>&1 & echo begun')
    await command.closed
    expect(command.stdout()).toBe('begun\n')
    expect(Number((await exec(id, 'ps | grep -c "[s]leep 61"')).stdout)).toBeGreaterThan(0)
  })

  test.runIf(drawn.includes(runtime))('of a user who loses the right is closed, and killed', async () => {
    const username = `ann-${runtime}-${tag}`
    await product.ask('POST /api/users', { json: { username, password } })
    const grant = await product.ask('POST /api/permissions', {
      json: { subject: { kind: 'user', id: username }, role: 'ContainerAdmin', path: `/api/containers/${id}` },
    })
    const { body } = await ask(product.url, 'POST /api/auth/login', { json: { username, password } })
    const token = String(body['token'])
    const command = await open(id, 'exec', { command: ['/bin/sh', '-c', 'echo begun; sleep 51'] }, token)
    await command.shows('begun')
    await product.ask(`DELETE /api/permissions/${String(grant.body['id'])}`)
    expect(await command.closed).toMatchObject({ code: 4403 })
    await until(async () => (await exec(id, 'ps | grep -c "[s]leep 51"')).stdout.trim() === '0', { what: 'its end' })
  })

  test.runIf(drawn.includes(runtime))('needs a ticket that is unused, of this container and this user', async () => {
    const path = await ticketFor(id, 'exec', { command: ['true'] })
    const refused = (to: string) =>
      openStreamSocket(product.url, to).then(
        () => expect.unreachable('it was opened'),
        (error: { status: number }) => error.status,
      )
    expect(await refused(path.replace(id, 'other'))).toBe(401)
    expect(await refused(`${path}0`)).toBe(401)
    await (
      await openStreamSocket(product.url, path)
    ).closed
    expect(await refused(path)).toBe(401)
    expect(await refused(`/api/containers/${id}/websocket`)).toBe(422)
    expect(
      (await ask(product.url, `POST /api/containers/${id}/exec/socket`, { json: { command: ['true'] } })).status,
    ).toBe(401)
  })
})
