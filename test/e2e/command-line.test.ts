import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { shownCertificate } from '../../cli/http/tls.ts'
import { missingForNats } from '../lab/bus/nats.ts'
import { missingForHosts } from '../lab/hosts/hosts.ts'
import { type Instance, startHorcrux } from '../lab/machine/instance.ts'
import { type Machine, startMachine } from '../lab/machine/machine.ts'
import { onTerminal } from '../lab/machine/terminal.ts'
import { repository } from '../lab/repository.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'

const problems = [...(await missingForHosts()), ...(await missingForNats())]
const program = join(repository, 'bin/horcrux')
const password = 'a-Long-passphrase-1'
const ctrlC = '\u0003'

/** A user with an empty home, and a Horcrux with a self-signed certificate. */
describe.skipIf(!available('libvirt', problems))('the command line on a running Horcrux', () => {
  let machine: Machine
  let instance: Instance
  let url: string
  let home: Record<string, string>

  const horcrux = (...words: string[]) => machine.run(program, words, home)
  const done = async (...words: string[]) => {
    const result = await horcrux(...words)
    expect(result, `horcrux ${words.join(' ')}`).toMatchObject({ code: 0 })
    return result.stdout
  }
  const typed = (...words: string[]) => onTerminal(machine, [program, ...words], home)
  const shell = (script: string) => machine.run('bash', ['-c', `set -o pipefail\n${script}`], { ...home, H: program })

  beforeAll(async () => {
    machine = await startMachine(join(inject('run').dir, 'command-line'))
    home = { HOME: join(machine.dir, 'home'), CI: '', NO_COLOR: '' }
    await mkdir(home['HOME']!)
    instance = await startHorcrux(machine, { HORCRUX_TLS: 'self-signed', HORCRUX_RATE_LIMIT: '0' })
    url = instance.url.replace('http:', 'https:')
    const { stdout } = await machine.run('node', [join(repository, 'bin/horcrux.js'), 'tiny-guest'])
    await writeFile(join(machine.dir, 'boot.json'), stdout)
  })
  afterAll(() => machine?.remove())

  test('a new user accepts the certificate, makes the first account and is signed in', async () => {
    const token = /#setup=(\S+)/.exec(instance.said())![1]!
    const terminal = await typed('setup', url)
    await terminal.sees('SHA-256 fingerprint: ')
    await terminal.sees('[y/N] ')
    terminal.type('y\r')
    await terminal.sees('set-up token')
    await terminal.sees(': ')
    terminal.type(`${token}\r`)
    for (const question of ['new password of admin: ', 'new password of admin again: ']) {
      await terminal.sees(question)
      terminal.type(`${password}\r`)
    }
    await terminal.sees('signed in as admin')
    expect(await terminal.ended).toBe(0)
    expect(terminal.shown()).not.toContain(password)
    expect(terminal.shown()).not.toContain(token)
    const { mode } = await stat(join(home['HOME']!, '.config/horcrux/contexts.json'))
    expect(mode & 0o777).toBe(0o600)
    expect(await done('whoami')).toContain('admin')
  })

  test('a wrong password is exit code 4 and names the next command', async () => {
    const wrong = join(machine.dir, 'wrong')
    await writeFile(wrong, 'no-such-Password-1\n')
    const { code, stderr } = await horcrux('login', '--user', 'admin', '--password-file', wrong)
    expect(code).toBe(4)
    expect(stderr).toContain(`help:  horcrux login`)
  })

  test('a context whose server has ended does not hide the one that runs here', async () => {
    const other = { ...home, HOME: join(machine.dir, 'stale') }
    const folder = join(other.HOME, '.config/horcrux')
    await mkdir(folder, { recursive: true })
    const stale = { url: 'http://127.0.0.1:1', credential: { kind: 'token', value: 'x' } }
    await writeFile(join(folder, 'contexts.json'), JSON.stringify({ current: 'gone', contexts: { gone: stale } }))
    expect(await machine.run(program, ['vms', 'list'], other)).toMatchObject({
      code: 7,
      stderr: expect.stringContaining(`horcrux login ${url}`),
    })
    const secret = join(machine.dir, 'right')
    await writeFile(secret, `${password}\n`)
    const { fingerprint } = await shownCertificate(url)
    const words = ['login', '--user', 'admin', '--password-file', secret, '--fingerprint', fingerprint]
    expect(await machine.run(program, words, other)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`signed in as admin at ${url}`),
      stderr: expect.stringContaining('Nothing answers at http://127.0.0.1:1'),
    })
    expect((await machine.run(program, ['whoami'], other)).stdout).toContain('admin')
    expect((await machine.run(program, ['context', 'list', '-o', 'name'], other)).stdout).toContain('gone')
  })

  test('another certificate than the accepted one is refused', async () => {
    const other = { ...home, HOME: join(machine.dir, 'stranger') }
    const { code, stderr } = await machine.run(program, ['--url', url, 'vms', 'list'], other)
    expect({ code, stderr }).toMatchObject({ code: 7, stderr: expect.stringContaining(`horcrux login ${url}`) })
  })

  test('a virtual machine is created with units and started, and is in every format', async () => {
    const boot = join(machine.dir, 'boot.json')
    const script = `"$H" vms create first --id first --memory 128MiB --cpus 1 --boot "$(cat ${boot})" --start`
    expect(await shell(script)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^vms create first: running, /),
    })
    expect(await done('vms', 'list', 'status:running', '-o', 'name')).toBe('first\n')
    expect(JSON.parse(await done('vms', 'get', 'first', '-o', 'json'))).toMatchObject({ id: 'first', memory: 128 })
    expect(await done('vms', 'list', '-o', 'csv', '--columns', 'name,memory')).toBe('name,memory\r\nfirst,128\r\n')
    expect(await done('ps', '--no-headers')).toMatch(/^vm +first +running +128 MiB +1 +local +first\n$/)
  })

  test.each([
    [200, 'NAME   STATUS   CPUS   MEMORY  NODE   TAGS  ID\nfirst  running     1  128 MiB  local  -     first'],
    [80, 'NAME   STATUS   CPUS   MEMORY  NODE   TAGS  ID\nfirst  running     1  128 MiB  local  -     first'],
    [40, 'NAME   STATUS   CPUS   MEMORY  NODE\nfirst  running     1  128 MiB  local'],
  ])('a list fits a terminal of %i columns, and has no escapes with NO_COLOR', async (columns, text) => {
    const env = { ...home, NO_COLOR: '1' }
    const terminal = await onTerminal(machine, [program, 'vms', 'list'], env, { columns })
    expect(await terminal.ended).toBe(0)
    expect(terminal.shown().replaceAll('\r\n', '\n').trimEnd()).toBe(text)
    const coloured = await onTerminal(machine, [program, 'vms', 'list'], home, { columns })
    expect(await coloured.ended).toBe(0)
    expect(coloured.shown()).toContain('\u001b[32mrunning')
  })

  test('the same file applied twice is unchanged, and so is a record that was read', async () => {
    expect((await shell('"$H" vms get first -o yaml | "$H" apply -f -')).stdout).toBe('vms first unchanged\n')
    expect((await shell('"$H" users list -o yaml | "$H" apply -f -')).stdout).toBe('users admin unchanged\n')
    const file = join(machine.dir, 'first.yaml')
    await writeFile(file, 'noun: vms\nid: first\ndescription: by a file\ntags: [lab]\n')
    expect(await done('diff', '-f', file)).toBe('~ vms first\n    description - → by a file\n    tags - → lab\n')
    expect(await done('apply', '-f', file)).toMatch(/^vms first changed \(/)
    expect(await done('apply', '-f', file)).toBe('vms first unchanged\n')
    await writeFile(file, 'noun: groups\nid: team\nname: team\n---\nnoun: vms\nid: first\nmemory: 1\n')
    const { code, stdout, stderr } = await horcrux('apply', '-f', file)
    expect({ code, stdout }).toEqual({ code: 2, stdout: 'groups team created\n' })
    expect(stderr).toContain('error: vms first: memory must be at least 128')
  })

  test('an edit changes what the editor has changed, and keeps a draft that is refused', async () => {
    const editor = join(machine.dir, 'editor')
    await writeFile(
      editor,
      '#!/bin/sh\nsed -i "s/description: .*/description: $NEXT/; s/memory: .*/memory: $MEMORY/" "$1"\n',
      { mode: 0o755 },
    )
    const edit = (next: string, memory: string) =>
      machine.run(program, ['edit', 'vms', 'first'], { ...home, EDITOR: editor, NEXT: next, MEMORY: memory })
    expect(await edit('edited', '256')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('by a file → edited'),
    })
    expect(await edit('edited', '256')).toMatchObject({ code: 0, stdout: 'vms first unchanged\n' })
    const refused = await edit('again', '1')
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('memory must be at least 128') })
    const [, draft] = /your draft is kept: (\S+)/.exec(refused.stderr)!
    expect((await machine.run('cat', [draft!])).stdout).toContain('description: again')
  })

  test('the console types into the guest, and Ctrl-] q leaves it', async () => {
    const terminal = await typed('console', 'first')
    await terminal.sees('leave it with Ctrl-]')
    // A guest that still boots takes no notice of the first keys.
    await until(
      () => {
        terminal.type('\r')
        return terminal.shown().includes('/ #')
      },
      { intervalMs: 500 },
    )
    terminal.type("echo through-the-con''sole\r")
    await terminal.sees('through-the-console')
    terminal.type('\u001dq')
    expect(await terminal.ended).toBe(0)
  })

  test('a watch in a pipe tells each change, and events are lines', async () => {
    const watching = await machine.spawn(program, ['vms', 'list', '--watch', '-o', 'ndjson'], home)
    const following = await machine.spawn(program, ['events', '--topic', 'vm:status', '--limit', '1'], home)
    let lines = ''
    let told = ''
    watching.stdout.on('data', (chunk: Buffer) => (lines += chunk.toString()))
    following.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()))
    try {
      await until(() => lines.includes('"change":"present"'))
      for (const verb of ['pause', 'resume']) await done('vms', verb, 'first')
      await until(() => /"change":"updated".*"status":"running"/.test(lines))
      await done('vms', 'pause', 'first')
      await until(() => told.includes('VmStatusChanged') && told.includes('vm_id=first'))
      expect((await following.exit).code).toBe(0)
    } finally {
      await Promise.all([watching.kill(), following.kill()])
    }
    await done('vms', 'resume', 'first')
  })

  test('a watch on a terminal is drawn anew, and ends with Ctrl-C', async () => {
    const terminal = await typed('vms', 'list', '--watch')
    await terminal.sees('running')
    await done('vms', 'pause', 'first')
    await terminal.sees('paused')
    terminal.type(ctrlC)
    expect(await terminal.ended).toBe(0)
    await done('vms', 'resume', 'first')
  })

  test('each kind of failure has its exit code, and names what helps', async () => {
    const cases: [string[], number, string][] = [
      [['vms', 'start', 'frist'], 3, "did you mean 'first'?"],
      [['vms', 'strat', 'first'], 2, "did you mean 'vms start'?"],
      [['start', 'vms', 'first'], 2, 'help:  horcrux vms start first'],
      [['vms', 'create', 'x', '--memry', '4GiB', '--cpus', 'two'], 2, '--cpus must be a number'],
      [
        ['vms', 'create', 'x', '--memory', '129MiB', '--cpus', '0'],
        2,
        '--memory must be a multiple of 128\n       --cpus must be at least 1',
      ],
      [['vms', 'start', 'first'], 9, 'first'],
      [['vms', 'delete', 'first'], 2, 'help:  horcrux vms delete first --yes'],
      [['login', '--password', 'hunter2'], 2, 'a secret is not taken as an argument'],
      [['--url', 'http://127.0.0.1:1', 'vms', 'list'], 7, 'nothing listens there'],
    ]
    for (const [words, code, text] of cases) {
      const result = await horcrux(...words)
      // A guest in the wrong state may be refused at once, or by its operation.
      const codes = code === 9 ? [6, 9] : [code]
      expect(codes, `horcrux ${words.join(' ')}: ${result.stderr}`).toContain(result.code)
      expect(result.stderr).toContain(text)
      expect(result.stderr).not.toContain('hunter2')
    }
    expect((await horcrux('vms', 'get', 'frist', '-o', 'json')).stdout).toBe('')
  })

  test('a reader that has seen enough ends the command quietly', async () => {
    const { code, stdout, stderr } = await shell('"$H" operations list -o ndjson | head -c 1; echo "${PIPESTATUS[0]}"')
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '{0\n', stderr: '' })
  })

  test('an operation that is not waited for can be waited for later', async () => {
    const id = (await done('vms', 'stop', 'first', '--no-wait')).trim()
    expect(await done('operations', 'wait', id)).toContain('succeeded')
    expect(await done('vms', 'list', 'status:stopped', '-o', 'name')).toBe('first\n')
  })

  test('a dry run sends nothing; deleting asks on a terminal, and --yes answers', async () => {
    expect(await done('vms', 'start', 'first', '--dry-run')).toBe('POST /api/vms/first/start\n')
    const terminal = await typed('vms', 'delete', 'first')
    await terminal.sees('vms delete first? [y/N] ')
    terminal.type('n\r')
    expect(await terminal.ended).toBe(130)
    expect(await done('vms', 'list', '-o', 'name')).toBe('first\n')
    expect(await done('vms', 'delete', 'first', '--yes')).toMatch(/^vms delete first: /)
    expect(await done('vms', 'list', '-o', 'name')).toBe('')
  })

  test('after the logout a command is told to sign in', async () => {
    await done('logout')
    expect(await horcrux('vms', 'list')).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('help:  horcrux login'),
    })
  })
})
