import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'
import ssh2 from 'ssh2'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { UnavailableError, ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { type SshTarget, scanHostKey, sshHost } from '#shared/nodes/host/ssh/ssh.ts'
import { type LabHost, sshTarget } from '../../lab/hosts/hosts.ts'
import { commandLine, processesWith } from '../../lab/hosts/processes.ts'
import { until } from '../../lab/wait.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const machine = localHost()
const [node, other] = labHosts as [LabHost, LabHost]

const opened: ReturnType<typeof sshHost>[] = []
function open(change: Partial<SshTarget> = {}): ReturnType<typeof sshHost> {
  const host = sshHost({ ...sshTarget(node), ...change })
  opened.push(host)
  return host
}
const failure = async (change: Partial<SshTarget>): Promise<Error> =>
  open(change)
    .run('true', [])
    .then(
      () => expect.unreachable('it connected'),
      (error: Error) => error,
    )

describe.skipIf(!node)('a host over SSH', () => {
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((host) => host.close()))
  })
  afterAll(() => machine.close())

  describe('is known by its host key', () => {
    it('which can be asked for', async () => {
      const key = await scanHostKey(node.address, node.port)
      expect(key).toMatchObject({ type: 'ssh-ed25519', publicKey: node.hostKey })
      const { stdout } = await machine.runChecked('ssh-keygen', ['-lf', '-'], { input: node.hostKey })
      expect(stdout.split(' ')[1]).toBe(key.fingerprint)
      expect(await open({ hostKey: key.fingerprint }).run('hostname', [])).toMatchObject({ stdout: 'node1\n' })
    })

    it.each(['key', 'fingerprint'])('and is left alone when it shows another than the pinned %s', async (form) => {
      const [shown, pinned] = await Promise.all([
        scanHostKey(node.address, node.port),
        scanHostKey(other.address, other.port),
      ])
      const error = await failure({ hostKey: form === 'key' ? pinned.publicKey : pinned.fingerprint })
      expect(error).toBeInstanceOf(UnavailableError)
      expect(error).toMatchObject({ details: { reason: 'host_key' } })
      expect(error.message).toContain(`expected ${pinned.fingerprint}, the host shows ${shown.fingerprint}`)
    })

    it('but not by a pin that is none', async () => {
      expect(await failure({ hostKey: 'whatever' })).toBeInstanceOf(ValidationError)
    })
  })

  describe('says in plain words why it cannot be reached', () => {
    it.each<[string, Partial<SshTarget>, string]>([
      ['refused', { port: 1 }, 'nothing listens on that port'],
      ['unknown_name', { address: 'no-such-host.invalid' }, 'the name'],
      ['authentication', { user: 'daemon' }, 'refused the key for user daemon (authentication failed)'],
    ])('%s', async (reason, change, words) => {
      const error = await failure(change)
      expect(error).toBeInstanceOf(UnavailableError)
      expect(error.message).toContain(words)
      expect(error).toMatchObject({ details: { reason } })
    })

    it('unreachable', async () => {
      const error = await failure({ address: node.address.replace(/\d+$/, '77') })
      expect(error.message).toMatch(/no route to the host|no answer within 10 s/)
    })

    it('a server that says nothing', async () => {
      const silent = createServer()
      const port = await listen(silent)
      const impatient = open({ address: '127.0.0.1', port }).run('true', [], { timeoutMs: 200 })
      await expect(impatient).rejects.toThrow('did not finish within 0.2 s')
      const error = await failure({ address: '127.0.0.1', port })
      expect(error.message).toContain('the handshake did not finish within 10 s')
      silent.close()
    })

    it('a key that needs a passphrase, and takes the right one', async () => {
      const { stdout } = await machine.runChecked('mktemp', ['-d'])
      const file = `${stdout.trim()}/id`
      await machine.writeFile(file, node.privateKey, { mode: 0o600 })
      await machine.runChecked('ssh-keygen', ['-q', '-p', '-N', 'open sesame', '-f', file])
      const privateKey = (await machine.readFile(file)).toString()
      await machine.remove(stdout.trim(), { recursive: true })
      expect((await failure({ privateKey })).message).toContain('no passphrase given')
      expect(await failure({ privateKey, passphrase: 'wrong' })).toBeInstanceOf(ValidationError)
      expect(await open({ privateKey, passphrase: 'open sesame' }).run('true', [])).toMatchObject({ code: 0 })
      const stranger = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 }).private
      expect((await failure({ privateKey: stranger })).message).toContain('authentication failed')
      expect((await failure({ privateKey: 'not a key' })).message).toContain('private_key')
    })
  })

  describe('that cannot be reached', () => {
    let attempts = 0
    const broken = createServer((socket) => {
      attempts++
      socket.destroy()
    })
    let port: number
    beforeAll(async () => {
      port = await listen(broken)
    })
    afterAll(() => void broken.close())

    it('is tried once for all callers, and again only after a pause', async () => {
      const host = open({ address: '127.0.0.1', port })
      const ask = () => Promise.allSettled(Array.from({ length: 20 }, () => host.run('true', [])))
      const outcomes = [...(await ask()), ...(await ask())]
      expect(attempts).toBe(1)
      for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { status: 503 } })
      await until(async () => (await ask()) && attempts === 3)
    })
  })

  describe('whose connection is cut', () => {
    /** The sshd processes that serve connections to the node, as this machine sees them; others may not be gone yet. */
    const sessions = async () => {
      const { stdout } = await machine.runChecked('ip', ['netns', 'pids', node.netns])
      const pids = stdout.split('\n').filter(Boolean).map(Number)
      return pids.filter((pid) => commandLine(pid).startsWith('sshd: root@'))
    }
    const readsZeros = async () => {
      const { stdout } = await machine.run('find', [
        ...(await sessions()).map((pid) => `/proc/${pid}/fd`),
        '-lname',
        '/dev/zero',
      ])
      return stdout !== ''
    }

    it('fails the running calls, and works again at the next use', async () => {
      const others = await sessions()
      const host = open()
      const time = `3600.${randomInt(2 ** 40)}`
      const child = await host.spawn('sleep', [time])
      const socket = await host.openSocket({ path: '/run/libvirt/libvirt-sock' })
      const cut = new Promise<Error>((resolve) => socket.once('error', resolve))
      const file = host.readFile('/dev/zero')
      // One that had not begun would be begun again, and never end.
      await until(readsZeros, { what: 'a file that is being read' })
      const own = (await sessions()).filter((pid) => !others.includes(pid))
      for (const pid of own) process.kill(pid, 'SIGKILL')
      await expect(child.exit).rejects.toThrow(`The connection to ${host.describe()} was lost`)
      await expect(file).rejects.toThrow('was lost')
      expect((await cut).message).toContain('was lost')
      expect(await host.run('hostname', [])).toMatchObject({ stdout: 'node1\n' })
      expect((await host.readFile('/etc/hosts')).toString()).toContain('node1')
      // What cannot be told to stop goes on.
      for (const left of processesWith(time)) process.kill(left)
    })

    it('fails a pipe instead of ending it as if all had come', async () => {
      const others = await sessions()
      const host = open()
      const child = await host.spawn('cat', ['/dev/zero'])
      child.stdout.resume()
      const end = new Promise((resolve) => child.stdout.once('error', resolve).once('end', () => resolve('ended')))
      const own = (await sessions()).filter((pid) => !others.includes(pid))
      for (const pid of own) process.kill(pid, 'SIGKILL')
      expect(await end).toBeInstanceOf(UnavailableError)
    })

    it('by a broken cable is noticed, and works again once the cable is back', async () => {
      const host = open()
      await host.run('true', [])
      const child = host.run('sleep', ['3600'], { timeoutMs: 3_600_000 })
      const cable = (state: string) => machine.runChecked('ip', ['link', 'set', node.link, state])
      await cable('down')
      try {
        const [running, asked, read] = await Promise.allSettled([
          child,
          host.run('true', []),
          host.readFile('/etc/hosts'),
        ])
        for (const outcome of [running, asked, read])
          expect(outcome).toMatchObject({
            status: 'rejected',
            reason: { status: 503, message: expect.stringMatching(/lost|Cannot connect/) as string },
          })
        await expect(host.run('true', [])).rejects.toThrow(/Cannot connect to root@.*(no route|no answer)/)
      } finally {
        await cable('up')
      }
      const back = () => host.run('hostname', []).catch(() => null)
      expect(await until(back)).toMatchObject({ stdout: 'node1\n' })
    })
  })
})

const listen = (server: Server): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
