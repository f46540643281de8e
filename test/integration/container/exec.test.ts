import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import type { Result } from '#shared/contract/contract.ts'
import { ConflictError, ValidationError } from '#shared/errors.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { readLog } from '../../lab/containers/log-reader.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const { engines } = await labEngines()
const tag = randomBytes(3).toString('hex')
let lab: ContainerLab

beforeAll(async () => {
  lab = await startContainerLab()
})
afterAll(() => lab?.stop())

type ExecResult = Result<typeof containers, 'exec'>

describe.each(engines)('commands in a container of %s', (runtime) => {
  const id = `exec-${runtime}-${tag}`
  const exec = async (command: string[], more: object = {}) =>
    (await done(lab.horcrux, containers, 'exec', { id, command, ...more })) as ExecResult
  const sh = (script: string, more: object = {}) => exec(['/bin/sh', '-c', script], more)
  const refusal = (given: object) =>
    lab.horcrux.call(containers, 'exec', { id, command: ['true'], ...given }).catch((error: Error) => error)

  beforeAll(async () => {
    await lab.make(runtime, id, { start: true })
  })
  afterAll(() => done(lab.horcrux, containers, 'delete', { id, force: true }))

  test('answer with their exit code, and output and errors apart', async () => {
    expect(await sh('echo out; echo err >&2; exit 7')).toEqual({
      exit_code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
      truncated: false,
      reason: 'exited',
    })
    expect(await exec(['true'])).toMatchObject({ exit_code: 0, stdout: '', stderr: '', reason: 'exited' })
  })

  test('get their words as they are, a user and an environment', async () => {
    const words = ['-n', 'a b', '$(id)', "'", '"', 'new\nline', 'é', '*', '']
    const printed = await exec(['/bin/sh', '-c', 'printf "%s|" "$@"', 'sh', ...words])
    expect(printed.stdout).toBe(`${words.join('|')}|`)
    const env = { GREETING: 'a "b" $c\nd' }
    expect((await sh('printf %s "$GREETING"', { env })).stdout).toBe(env.GREETING)
    expect((await sh('id -u', { user: '1000' })).stdout).toBe('1000\n')
  })

  test('that are not there, or cannot be run, say so', async () => {
    expect(await exec(['/no/such/command'])).toMatchObject({ exit_code: 127, stdout: '', reason: 'not_found' })
    expect(await exec(['/etc/passwd'])).toMatchObject({ exit_code: 126, stdout: '', reason: 'not_executable' })
  })

  test('are killed when their time is over, with all that they have started', async () => {
    const late = await sh('echo begun; sleep 31 & (sleep 32 &) ; sleep 33', { timeout: 1 })
    expect(late).toMatchObject({ exit_code: null, stdout: 'begun\n', reason: 'timed_out' })
    expect((await sh('ps | grep -c "[s]leep 3[123]"')).stdout).toBe('0\n')
  })

  test('have their output cut at its limit', async () => {
    const long = await sh('head -c 1000000 /dev/zero | tr "\\0" x; echo end >&2')
    expect(long).toMatchObject({ exit_code: 0, truncated: true, stderr: 'end\n' })
    expect(long.stdout).toBe('x'.repeat(256 * 1024))
  })

  test('are refused in a container that is paused, and with a variable of Horcrux', async () => {
    const reserved = await refusal({ env: { HORCRUX_EXEC: 'x' } })
    expect(reserved).toBeInstanceOf(ValidationError)
    await done(lab.horcrux, containers, 'pause', { id })
    const paused = await refusal({})
    expect(paused).toBeInstanceOf(ConflictError)
    expect((paused as Error).message).toContain('is paused')
    await done(lab.horcrux, containers, 'resume', { id })
  })
})

const withTimes = engines.filter((runtime) => runtime === 'docker' || runtime === 'podman')
describe.each(withTimes)('the log of a container of %s', (runtime) => {
  let id = ''
  const logs = (given: object) => lab.horcrux.call(containers, 'logs', { id, ...given })
  const remake = async (script: string) => {
    id = `log-${runtime}-${randomBytes(3).toString('hex')}`
    await lab.make(runtime, id, { command: ['/bin/sh', '-c', script], start: true })
    await until(async () => (await lab.horcrux.call(containers, 'get', { id })).status === 'stopped', {
      what: 'its end',
    })
  }
  const end = () => done(lab.horcrux, containers, 'delete', { id, force: true })

  test('has each of twenty thousand tiny lines once and in order', async () => {
    await remake('seq 1 10000; yes "" | head -n 10000; echo end')
    const { lines, gaps } = await readLog(lab.horcrux, id, { tail: 7000 })
    const numbers = Array.from({ length: 10_000 }, (_, index) => String(index + 1))
    expect(lines.map(({ text }) => text)).toEqual([...numbers, ...numbers.map(() => ''), 'end'])
    expect(gaps).toBe(0)
    expect((await logs({ tail: 2 })).lines.map(({ text }) => text)).toEqual(['', 'end'])
    await end()
  })

  test('has a long line cut at its limit, and a last line without a line break; a tail counts lines', async () => {
    await remake('head -c 10485760 /dev/zero | tr "\\0" x; echo; echo error >&2; printf "no newline"')
    const { lines } = await logs({ tail: 3 })
    const long = lines.find(({ text }) => text.startsWith('x'))
    expect(long).toMatchObject({ truncated: true, stream: 'stdout' })
    expect(long?.text).toHaveLength(256 * 1024)
    expect(
      lines
        .filter((line) => line !== long)
        .map(({ text, stream }) => `${stream} ${text}`)
        .toSorted(),
    ).toEqual(['stderr error', 'stdout no newline'])
    await end()
  })

  test('goes on by its cursor after a restart, with the new lines only', async () => {
    await remake('echo run')
    const first = await readLog(lab.horcrux, id)
    expect(first.lines.map(({ text }) => text)).toEqual(['run'])
    expect(await logs({ cursor: first.cursor })).toMatchObject({ lines: [], gap: false })
    await done(lab.horcrux, containers, 'start', { id })
    const more = await until(
      async () => {
        const next = await logs({ cursor: first.cursor, wait: 1 })
        return next.lines.length > 0 && next
      },
      { what: 'the next line' },
    )
    expect(more).toMatchObject({ lines: [{ text: 'run', stream: 'stdout' }], gap: false })
    const at = first.lines[0]!.time!
    // Podman tells times in whole seconds: both lines may have the same one.
    const isSame = more.lines[0]!.time === at
    expect((await logs({ until: at })).lines).toHaveLength(isSame ? 2 : 1)
    expect((await logs({ since: at })).lines).toHaveLength(2)
    await until(async () => (await lab.horcrux.call(containers, 'get', { id })).status === 'stopped', {
      what: 'its end',
    })
    await end()
  })
})

test.runIf(engines.includes('lxc'))(
  'the console of a container of LXC is read by lines, and goes on by its cursor',
  async () => {
    const id = `console-${tag}`
    const logs = (given: object) => lab.horcrux.call(containers, 'logs', { id, ...given })
    await lab.make('lxc', id, { start: true })
    const first = await until(
      async () => {
        const answer = await logs({})
        return answer.lines.length > 0 && answer
      },
      { what: 'the first line' },
    )
    expect(first.lines).toEqual([{ time: null, stream: 'stdout', text: 'hello', truncated: false }])
    expect(await logs({ cursor: first.next_cursor })).toMatchObject({ lines: [], gap: false })
    expect(await logs({ since: '2026-01-01T00:00:00Z' }).catch((error: Error) => error)).toBeInstanceOf(ValidationError)
    await done(lab.horcrux, containers, 'delete', { id, force: true })
  },
)
