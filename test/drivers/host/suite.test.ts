import { createHash, randomBytes, randomInt } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { NotFoundError, UnavailableError, ValidationError } from '#shared/errors.ts'
import { CommandError } from '#shared/nodes/host/errors.ts'
import { eachHost } from '../../lab/hosts/each-host.ts'
import { commandLine, processesWith } from '../../lab/hosts/processes.ts'
import { until } from '../../lab/wait.ts'

const MIB = 2 ** 20
/** A time for `sleep` that no other process has. */
const uniqueTime = () => `3600.${randomInt(2 ** 40)}`

describe.each(eachHost)('a $kind host runs a program', ({ open }) => {
  const host = open()
  const sh = (script: string, ...args: string[]) => ['-c', script, 'sh', ...args]
  afterAll(() => host.close())

  it('and gives its exit code and output', async () => {
    const result = await host.run('sh', sh('echo out; echo err >&2; exit 3'))
    expect(result).toMatchObject({ code: 3, signal: null, stdout: 'out\n', stderr: 'err\n' })
  })

  it('and says which signal ended it', async () => {
    expect(await host.run('sh', sh('kill -KILL $$'))).toMatchObject({ code: 137, signal: 'SIGKILL' })
  })

  it('and throws on request when it fails', async () => {
    const error = await host.runChecked('ls', ['/no such file']).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(CommandError)
    expect(error).toMatchObject({ program: 'ls', code: 2, stderr: expect.stringMatching(/no such file.*No such file/) })
  })

  it('with its arguments as they are', async () => {
    const args = ['', ' ', "it's", '"', '$HOME', '`id`', '\\', 'a\nb', '*', '~', '-n', 'ünï🦉', '%s', '\u{1}']
    const { stdout } = await host.run('printf', ['%s\\0', ...args])
    expect(stdout.split('\0').slice(0, -1)).toEqual(args)
    // More often than there are sessions: a refusal must not use one up.
    for (let round = 0; round < 10; round++) await expect(host.run('echo', ['a\0b'])).rejects.toThrow(ValidationError)
  })

  it('in the environment and folder that it is given, and with nothing of ours', async () => {
    process.env['HORCRUX_TEST_SECRET'] = 'x'
    const { stdout } = await host.run('env', [], { env: { GREETING: "it's\n$me" }, cwd: '/usr' })
    expect(stdout).toContain("GREETING=it's\n$me")
    expect(stdout).toContain('LC_ALL=C.UTF-8')
    expect(stdout).not.toContain('HORCRUX_TEST_SECRET')
    expect((await host.run('pwd', [], { cwd: '/usr' })).stdout).toBe('/usr\n')
  })

  it('but not a missing one, nor in a missing folder', async () => {
    await expect(host.run('horcrux-none', [])).rejects.toThrow(`horcrux-none is not installed on ${host.describe()}`)
    await expect(host.run('horcrux-none', [])).rejects.toThrow(UnavailableError)
    await expect(host.run('pwd', [], { cwd: '/no/folder' })).rejects.toThrow(NotFoundError)
    expect(await host.which('horcrux-none')).toBeNull()
    expect(await host.which('sh')).toMatch(/^\/.*\/sh$/)
    expect(await host.which('/usr/bin/env')).toBe('/usr/bin/env')
    expect(await host.run('sh', sh('exit 127'))).toMatchObject({ code: 127 })
  })

  it('with 20 MiB of binary input and output', async () => {
    const input = randomBytes(20 * MIB)
    const { bytes } = await host.run('cat', [], { input, maxOutputBytes: 20 * MIB })
    expect(bytes.equals(input)).toBe(true)
  })

  it('whose output is handed on as it comes', async () => {
    let size = 0
    const onStdout = (chunk: Buffer) => void (size += chunk.length)
    const { bytes } = await host.run('head', ['-c', String(20 * MIB), '/dev/zero'], { onStdout, maxOutputBytes: 1 })
    expect([size, bytes.length]).toEqual([20 * MIB, 0])
  })

  it('whose secret input appears in no message', async () => {
    const failing = host.runChecked('sh', sh('cat >&2; exit 1'), { secretInput: 'swordfish\n' })
    await expect(failing).rejects.toThrow('failed with exit code 1: ***')
  })

  it('that reads none of its input', async () => {
    expect(await host.run('true', [], { input: randomBytes(4 * MIB) })).toMatchObject({ code: 0 })
  })

  it('50 at a time', async () => {
    const numbers = Array.from({ length: 50 }, (_, index) => String(index))
    const results = await Promise.all(numbers.map((number) => host.run('echo', [number])))
    expect(results.map(({ stdout }) => stdout.trim())).toEqual(numbers)
  })

  it('and kills it with its children when its time is over', async () => {
    const time = uniqueTime()
    const run = host.run('sh', sh('sleep $1 & sleep $1', time), { timeoutMs: 300 })
    await expect(run).rejects.toEqual(new UnavailableError(`sh on ${host.describe()} did not finish within 0.3 s`))
    expect(processesWith(time).map(commandLine)).toEqual([])
  })

  it('and kills it when it ignores the polite signal', async () => {
    const time = uniqueTime()
    const stubborn = sh('trap "" TERM; sleep $1; sleep $1', time)
    await expect(host.run('sh', stubborn, { timeoutMs: 300 })).rejects.toThrow(UnavailableError)
    expect(processesWith(time).map(commandLine)).toEqual([])
  })

  it('and kills it when it writes too much', async () => {
    const time = uniqueTime()
    const run = host.run('sh', sh('head -c 100000 /dev/zero; sleep $1', time), { maxOutputBytes: 99_999 })
    await expect(run).rejects.toThrow('wrote more than 99999 bytes of output')
    expect(processesWith(time).map(commandLine)).toEqual([])
  })

  it('and leaves no process when it is cancelled', async () => {
    const time = uniqueTime()
    const cancel = new AbortController()
    const runs = Array.from({ length: 10 }, () => host.run('sleep', [time], { signal: cancel.signal }))
    await until(() => processesWith(time).length > 0)
    cancel.abort(new Error('cancelled'))
    const reasons = (await Promise.allSettled(runs)).map((run) => (run as { reason?: Error }).reason?.message)
    expect(reasons).toEqual(Array.from({ length: 10 }, () => 'cancelled'))
    expect(processesWith(time).map(commandLine)).toEqual([])
    await expect(host.run('true', [], { signal: cancel.signal })).rejects.toThrow('cancelled')
  })

  it('and does not wait for a daemon that it leaves behind', async () => {
    const time = uniqueTime()
    const run = await host.run('sh', sh('sleep $1 & echo $!', time))
    // The daemon, which sleeps for an hour, still runs.
    expect(processesWith(time)).not.toEqual([])
    await host.run('kill', [run.stdout.trim()])
    expect(run).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\n$/) })
  })
})

describe.each(eachHost)('a $kind host streams', ({ open }) => {
  const host = open()
  afterAll(() => host.close())

  it('20 MiB through a program', async () => {
    const sent = randomBytes(20 * MIB)
    const child = await host.spawn('gzip', ['-1'])
    const back = await host.spawn('gunzip', [])
    const hash = createHash('sha256')
    await Promise.all([
      pipeline(Readable.from([sent]), child.stdin),
      pipeline(child.stdout, back.stdin),
      pipeline(back.stdout, hash),
    ])
    expect(hash.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'))
    expect([await child.exit, await back.exit]).toMatchObject([{ code: 0 }, { code: 0 }])
  })

  it('and holds back a writer whose reader waits', async () => {
    const child = await host.spawn('cat', ['/dev/zero'])
    await until(() => child.stdout.readableLength > 0)
    await child.kill()
    expect(await child.exit).toMatchObject({ signal: 'SIGTERM' })
  })

  it('and fails the pipe into a program that ends early', async () => {
    const child = await host.spawn('head', ['-c', '1'])
    child.stdout.resume()
    const endless = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(64 * 1024)
      })(),
    )
    await expect(pipeline(endless, child.stdin)).rejects.toThrow()
    expect(await child.exit).toMatchObject({ code: 0 })
  })

  it('for hours, with room for short commands', async () => {
    const time = uniqueTime()
    const started = Promise.all(Array.from({ length: 6 }, () => host.spawn('sleep', [time])))
    const children = await started
    expect(await host.run('echo', ['quick'], { timeoutMs: 120_000 })).toMatchObject({ stdout: 'quick\n' })
    await Promise.all(children.map((child) => child.kill()))
    expect(processesWith(time)).toEqual([])
  })

  it('until it is closed, which leaves no process and no further use', async () => {
    const closing = open()
    const time = uniqueTime()
    const child = await closing.spawn('sleep', [time])
    await closing.close()
    expect(await child.exit).toMatchObject({ signal: 'SIGTERM' })
    expect(processesWith(time)).toEqual([])
    await expect(closing.run('true', [])).rejects.toThrow('was closed')
  })
})
