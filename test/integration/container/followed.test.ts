import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { dockerApi } from '#shared/nodes/docker/client.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { containerMaker, useEngines } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { ask } from '../../lab/clients/http.ts'
import { sample, seedOf } from '../../lab/faults/seed.ts'
import { openStreamSocket } from '../../lab/clients/stream-sockets.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const lab = await labEngines()
const tag = randomBytes(3).toString('hex')
let product: Product
let make: ReturnType<typeof containerMaker>

beforeAll(async () => {
  product = await startProduct([], { allowedPaths: [lab.dir] })
  await useEngines(product.horcrux, lab)
  make = containerMaker(product.horcrux, lab)
})
afterAll(() => product?.stop())

const open = async (id: string, kind: 'attach' | 'logs', json: object = {}) => {
  const answer = await until(
    async () => {
      const line = `POST /api/containers/${id}/${kind}/socket`
      const found = await ask(product.url, line, { token: product.token, json })
      // An engine of a busy machine may not answer in time.
      return found.status !== 503 && found
    },
    { what: 'an answer' },
  )
  expect(answer.status, answer.text).toBe(201)
  return openStreamSocket(product.url, String(answer.body['websocket_path']))
}
const remove = (id: string) => done(product.horcrux, containers, 'delete', { id, force: true })
const seed = seedOf('followed containers')
/** One of the engines that share a driver is drawn. */
const oneOf = (engines: Runtime[]) => sample(engines, seed, 1)
const withTimes = oneOf(lab.engines.filter((runtime) => runtime === 'docker' || runtime === 'podman'))

/** A container whose first process reads its input: Horcrux makes none, so the engine does, and Horcrux adopts it. */
async function makeReader(runtime: 'docker' | 'podman', name: string, terminal: boolean): Promise<string> {
  const { socket } = lab.config[runtime]!
  const api = dockerApi(runtime, localHost(), socket, socket)
  const { id: engineId } = await api.change((docker) =>
    docker.createContainer({
      Image: 'tiny',
      name,
      Cmd: ['/bin/sh', '-c', 'while read line; do echo "got $line"; [ "$line" = end ] && exit 5; done; exit 6'],
      OpenStdin: true,
      StdinOnce: false,
      Tty: terminal,
    }),
  )
  await api.change((docker) => docker.getContainer(engineId).start())
  const found = await until(
    async () => {
      const { data } = await product.horcrux.call(containers, 'list', { filter: `name:${name}` })
      return data.find(({ status }) => status === 'running')
    },
    { what: 'its discovery' },
  )
  await product.horcrux.call(containers, 'adopt', { id: found.id })
  return found.id
}

describe.each(withTimes)('a container of %s', (runtime) => {
  test.each([false, true])(
    'that is attached to gets input, and its exit code is told (terminal: %s)',
    async (terminal) => {
      const id = await makeReader(
        runtime as 'docker',
        `attach-${runtime}-${tag}-${randomBytes(2).toString('hex')}`,
        terminal,
      )
      // Without a terminal, Podman ends the input of a container when a client with input goes.
      const input = runtime !== 'podman' || terminal
      const left = await open(id, 'attach', { input })
      if (input) {
        left.type('one\n')
        await left.shows('got one')
      }
      left.tell({ resize: { columns: 70, rows: 20 } })
      // Its client goes, and the container runs on.
      left.socket.close()
      await left.closed
      const again = await open(id, 'attach')
      again.type('end\n')
      expect(await again.closed).toMatchObject({ code: 1000 })
      expect(again.stdout()).toContain('got end')
      expect(again.texts()).toEqual([{ exit_code: 5, reason: 'exited' }])
      await remove(id)
    },
  )

  test('has its log followed from the cursor, over a restart, each line once', async () => {
    const id = `follow-${runtime}-${tag}-${randomBytes(2).toString('hex')}`
    const script = 'for i in 1 2 3; do echo "line $i"; done; trap "exit 0" TERM; while :; do sleep 0.1; done'
    await make(runtime, id, { command: ['/bin/sh', '-c', script], start: true })
    const linesOf = (texts: Record<string, unknown>[]) =>
      texts.flatMap((part) => (part['lines'] as { text: string }[]).map(({ text }) => text))
    const first = await open(id, 'logs', { tail: 2 })
    await until(() => linesOf(first.texts()).includes('line 3'), { what: 'the last lines' })
    expect(linesOf(first.texts()).at(-1)).toBe('line 3')
    const cursor = String(first.texts().at(-1)!['next_cursor'])
    await done(product.horcrux, containers, 'restart', { id, timeout: 2 })
    const three = ['line 1', 'line 2', 'line 3']
    await until(() => linesOf(first.texts()).slice(-3).join() === three.join() && first.texts().length > 1)
    first.socket.close()
    const second = await open(id, 'logs', { cursor })
    await until(() => linesOf(second.texts()).length >= 3, { what: 'the lines behind the cursor' })
    expect(linesOf(second.texts())).toEqual(three)
    second.socket.close()

    const stream = await fetch(`${product.url}/api/containers/${id}/logs/stream?tail=100`, {
      headers: { authorization: `Bearer ${product.token}`, 'last-event-id': cursor },
    })
    expect(stream.headers.get('content-type')).toContain('text/event-stream')
    let text = ''
    const reading = stream.body!.pipeThrough(new TextDecoderStream())
    for await (const part of reading) {
      text += part
      if (text.includes('line 3')) break
    }
    expect([...text.matchAll(/"text":"(line \d)"/g)].map(([, line]) => line)).toEqual(three)
    expect(text).toMatch(/^id: [\w-]+$/m)
    await remove(id)
  })
})

const withConsole = [
  ...lab.engines.filter((runtime) => runtime === 'lxc'),
  ...oneOf(lab.engines.filter((runtime) => runtime === 'lxd' || runtime === 'incus')),
]
test.each(withConsole)('the console of a container of %s can be attached to, and left', async (runtime) => {
  const id = `console-${runtime}-${tag}-${randomBytes(2).toString('hex')}`
  await make(runtime, id, { start: true })
  const write = (text: string) =>
    done(product.horcrux, containers, 'exec', { id, command: ['/bin/sh', '-c', `echo ${text} >/dev/console`] })
  for (const word of ['first', 'second']) {
    const console = await open(id, 'attach')
    await write(word)
    await console.shows(word)
    console.socket.close()
    await console.closed
  }
  expect((await product.horcrux.call(containers, 'status', { id })).status).toBe('running')
  await remove(id)
})

test('a log of a container that is not there, or of a user without the right, is refused', async () => {
  expect((await product.ask('POST /api/containers/nobody/logs/socket', { json: {} })).status).toBe(404)
  expect((await product.ask('GET /api/containers/nobody/logs/stream')).status).toBe(404)
  expect((await ask(product.url, 'GET /api/containers/nobody/logs/stream')).status).toBe(401)
})
