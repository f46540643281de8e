import { describe, expect, it } from 'vitest'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { CommandError, fileError, missingProgram } from '#shared/nodes/host/errors.ts'
import { describeHostKey, parsePinnedKey } from '#shared/nodes/host/ssh/host-key.ts'
import { createHosts } from '#shared/nodes/host/hosts.ts'
import { createSlots } from '#shared/nodes/host/slots.ts'

describe('slots', () => {
  it('let no more in than there are, in the order in which they came', async () => {
    const slots = createSlots(2)
    const first = await slots.take()
    await slots.take()
    const order: string[] = []
    const third = slots.take().then(() => order.push('third'))
    const fourth = slots.take().then((give) => (order.push('fourth'), give()))
    expect(order).toEqual([])
    first()
    first() // giving back twice frees one slot
    await third
    expect(order).toEqual(['third'])
    void fourth
  })

  it('drop a waiter that leaves the queue', async () => {
    const slots = createSlots(1)
    const give = await slots.take()
    const leaver = new AbortController()
    const left = slots.take(leaver.signal)
    leaver.abort(new Error('changed my mind'))
    await expect(left).rejects.toThrow('changed my mind')
    const next = slots.take()
    give()
    await next
  })
})

describe('a pinned host key', () => {
  // The published host key of GitHub. One in 500 ed25519 keys that ssh2 generates is damaged: it lacks a leading zero.
  const github = 'AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl'
  const line = `ssh-ed25519 ${github}`
  const wire = Buffer.from(github, 'base64')

  it('is a public key or its fingerprint', () => {
    const { fingerprint, publicKey, type } = describeHostKey(wire)
    expect(type).toBe('ssh-ed25519')
    expect(parsePinnedKey(line)).toEqual({ fingerprint, algorithms: ['ssh-ed25519'] })
    expect(parsePinnedKey(`${publicKey}\n`)).toEqual({ fingerprint, algorithms: ['ssh-ed25519'] })
    expect(parsePinnedKey(fingerprint)).toEqual({ fingerprint, algorithms: undefined })
  })

  it('has the fingerprint that ssh-keygen -l prints', () => {
    // ssh-keygen -lf
    const { fingerprint } = describeHostKey(wire)
    expect(fingerprint).toBe('SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU')
  })

  it.each(['', 'SHA256:short', 'MD5:aa:bb', 'ssh-ed25519 AAAA', 'hello'])('is not %j', (text) => {
    expect(() => parsePinnedKey(text)).toThrow(/SHA256/)
  })
})

describe('errors of a host', () => {
  it('name the Debian package of a missing program', () => {
    expect(missingProgram('qemu-img', 'node1').message).toBe(
      'qemu-img is not installed on node1; on Debian: apt-get install qemu-utils',
    )
    expect(missingProgram('frobnicate', 'node1').message).toBe('frobnicate is not installed on node1')
  })

  it('keep the end of a long stderr', () => {
    const { stderr, message } = new CommandError('qemu-img', 1, `${'x'.repeat(5000)}the reason\n`, 'node1')
    expect(stderr).toHaveLength(2000)
    expect(message).toMatch(/^qemu-img on node1 failed with exit code 1: x+the reason$/)
  })

  it.each([
    ['ENOENT', NotFoundError],
    ['EEXIST', ConflictError],
    ['ENOTEMPTY', ConflictError],
    ['ENOSPC', UnavailableError],
    ['', UnavailableError],
  ])('translate %s', (errno, expected) => {
    expect(fileError(errno, 'write', '/x', 'node1', new Error('cause'))).toBeInstanceOf(expected)
  })
})

describe('the registry of hosts', () => {
  const ssh = { kind: 'ssh', address: '127.0.0.1', port: 1, user: 'root', privateKey: 'k', hostKey: 'h' } as const

  it('has one host per node, and another when its description changes', async () => {
    const { hostFor, closeAll } = createHosts()
    const first = hostFor('a', ssh)
    expect(hostFor('a', { ...ssh })).toBe(first)
    expect(hostFor('b', ssh)).not.toBe(first)
    // Another pinned key counts for the next connection, and ends no program.
    expect(hostFor('a', { ...ssh, hostKey: `SHA256:${'A'.repeat(43)}` })).toBe(first)
    expect(hostFor('a', { ...ssh, port: 2 }).describe()).toBe('root@127.0.0.1:2')
    await expect(first.run('true', [])).rejects.toThrow('was closed')
    await closeAll()
  })

  it('closes the connections that it drops', async () => {
    const { hostFor, closeHost } = createHosts()
    const host = hostFor('a', { kind: 'local' })
    await closeHost('a')
    await expect(host.run('true', [])).rejects.toThrow('was closed')
    const next = hostFor('a', { kind: 'local' })
    expect((await next.run('true', [])).code).toBe(0)
  })
})
