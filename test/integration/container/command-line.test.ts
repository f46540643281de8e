import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { containerMaker, useEngines } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { onTerminal } from '../../lab/machine/terminal.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { done } from '../../lab/product/run-operation.ts'
import { repository } from '../../lab/repository.ts'
import { until } from '../../lab/wait.ts'

const lab = await labEngines()
// Every engine has the same API; test/integration/container/streams.test.ts runs over all of them.
const runtime = lab.engines[0]!
const id = `cli-${randomBytes(3).toString('hex')}`
const program = join(repository, 'bin/horcrux')
const host = localHost()
let product: Product
let home: string
let env: Record<string, string>

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'horcrux-cli-'))
  product = await startProduct([], { allowedPaths: [lab.dir] })
  await useEngines(product.horcrux, lab)
  env = { HOME: home, HORCRUX_URL: product.url, HORCRUX_TOKEN: product.token, PATH: process.env['PATH'] ?? '' }
  const script =
    'echo first line; echo an error >&2; while sleep 1; do [ -e /more ] && echo second line && rm /more; done'
  await containerMaker(product.horcrux, lab)(runtime, id, { start: true, command: ['/bin/sh', '-c', script] })
})
afterAll(async () => {
  await done(product.horcrux, containers, 'delete', { id, force: true }).catch(() => undefined)
  await product?.stop()
  await rm(home, { recursive: true, force: true })
})

const horcrux = (...words: string[]) => host.run(program, words, { env })

test('a command in a container hands its output, its errors and its exit code on', async () => {
  const result = await horcrux(
    'exec',
    id,
    '--env',
    'WORD=hello',
    '--',
    '/bin/sh',
    '-c',
    'echo $WORD; echo bad >&2; exit 7',
  )
  expect(result).toMatchObject({ code: 7, stdout: 'hello\n', stderr: 'bad\n' })
  expect((await horcrux('exec', id, '--', '/no/such/program')).code).toBe(127)
})

test('standard input is handed on with -i', async () => {
  await writeFile(join(home, 'input'), 'one\ntwo\n')
  const { stdout } = await host.run('bash', ['-c', `"$0" exec ${id} -i -- cat < ${home}/input`, program], { env })
  expect(stdout).toBe('one\ntwo\n')
})

test('on a terminal the command has a terminal, and its end is the end', async () => {
  const machine = {
    spawn: (name: string, words: readonly string[], more = {}) => host.spawn(name, words, { env: { ...env, ...more } }),
  }
  const terminal = await onTerminal(machine, [program, 'exec', id, '--', '/bin/sh'])
  await terminal.sees('#')
  terminal.type("tty; echo through-the-ter''minal; exit 3\r")
  await terminal.sees('through-the-terminal')
  expect(await terminal.ended).toBe(3)
  expect(terminal.shown()).toContain('/dev/')
})

test('the log is shown and followed', async () => {
  const { stdout } = await horcrux('logs', id)
  expect(stdout).toContain('first line')
  const following = await host.spawn(program, ['logs', id, '-F'], { env })
  let shown = ''
  following.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString('utf8')))
  try {
    await until(() => shown.includes('first line'))
    expect((await horcrux('exec', id, '--', '/bin/sh', '-c', 'echo > /more')).code).toBe(0)
    await until(() => shown.includes('second line'))
  } finally {
    await following.kill()
  }
})
