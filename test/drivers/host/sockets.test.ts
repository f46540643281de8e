import { randomBytes } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UnavailableError } from '#shared/errors.ts'
import type { SocketTarget } from '#shared/nodes/host/host.ts'
import { eachHost } from '../../lab/hosts/each-host.ts'

/** An echo server: says where it listens, then gives back what it gets. */
const ECHO = `
const server = require('node:net').createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket))
server.listen(process.argv[1] || { host: '127.0.0.1', port: 0 }, () => console.log(JSON.stringify(server.address())))`

async function echo(socket: Duplex, data: Buffer): Promise<Buffer> {
  socket.end(data)
  return buffer(socket)
}

describe.each(eachHost)('the sockets of a $kind host', ({ open }) => {
  const host = open()
  const targets: Record<string, SocketTarget> = {}
  let dir: string

  async function startEcho(...args: string[]): Promise<unknown> {
    const child = await host.spawn(process.execPath, ['-e', ECHO, ...args])
    return new Promise((resolve) => {
      child.stdout.once('data', (line: Buffer) => resolve(JSON.parse(line.toString())))
    })
  }

  beforeAll(async () => {
    dir = (await host.runChecked('mktemp', ['-d'])).stdout.trim()
    await startEcho(`${dir}/echo`)
    targets['unix'] = { path: `${dir}/echo` }
    targets['tcp'] = { host: '127.0.0.1', port: ((await startEcho()) as { port: number }).port }
  })
  afterAll(async () => {
    await host.remove(dir, { recursive: true })
    await host.close()
  })

  it.each(['unix', 'tcp'])('carry bytes both ways over %s', async (kind) => {
    const sockets = await Promise.all([1, 2, 3].map(() => host.openSocket(targets[kind] as SocketTarget)))
    const sent = sockets.map(() => randomBytes(2 ** 20))
    const back = await Promise.all(sockets.map((socket, k) => echo(socket, sent[k] as Buffer)))
    expect(back.every((bytes, k) => bytes.equals(sent[k] as Buffer))).toBe(true)
  })

  it.each(['unix', 'tcp'])('are forwarded from %s to a private socket here', async (kind) => {
    const forward = await host.forwardSocket(targets[kind] as SocketTarget)
    expect(statSync(dirname(forward.path)).mode & 0o777).toBe(0o700)
    const sent = [1, 2, 3].map(() => randomBytes(2 ** 20))
    const back = await Promise.all(sent.map((data) => echo(connect({ path: forward.path, allowHalfOpen: true }), data)))
    expect(back.every((bytes, k) => bytes.equals(sent[k] as Buffer))).toBe(true)
    await forward.close()
    expect(existsSync(dirname(forward.path))).toBe(false)
    await forward.close()
  })

  it.each([{ path: '/no/socket' }, { host: '127.0.0.1', port: 1 }])('fail clearly at %j', async (target) => {
    await expect(host.openSocket(target)).rejects.toThrow(UnavailableError)
    const where = 'path' in target ? target.path : '127.0.0.1:1'
    await expect(host.openSocket(target)).rejects.toThrow(where as string)
    const forward = await host.forwardSocket(target as SocketTarget)
    expect(await buffer(connect(forward.path))).toHaveLength(0)
    await forward.close()
  })

  it('end with the host', async () => {
    const closing = open()
    const socket = await closing.openSocket(targets['tcp'] as SocketTarget)
    const forward = await closing.forwardSocket(targets['unix'] as SocketTarget)
    const through = connect(forward.path)
    await new Promise((resolve) => through.once('connect', resolve))
    const ends = [socket, through].map((end) => new Promise((resolve) => end.once('close', resolve)))
    socket.on('error', () => {})
    through.on('error', () => {})
    await closing.close()
    await Promise.all(ends)
    expect(existsSync(forward.path)).toBe(false)
  })
})
