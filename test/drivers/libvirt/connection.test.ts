import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { NotFoundError, UnavailableError } from '#shared/errors.ts'
import { openConnection, type Connection } from '#shared/nodes/libvirt/connection/connection.ts'
import * as domain from '#shared/nodes/libvirt/client/domain.ts'
import {
  hostConnection,
  type HostConnection,
  type HostEvent,
} from '#shared/nodes/libvirt/connection/host-connection.ts'
import { domainSamples } from '#shared/nodes/libvirt/client/stats.ts'
import { hasLab, inbox, labHost, pidOn, tinyDomain } from './libvirt-lab.ts'

const isLifecycle = (uuid: string, event: string) => (news: HostEvent) =>
  news.kind === 'lifecycle' && news.uuid === uuid && news.event === event

describe.skipIf(!hasLab())('connections to a real libvirt', () => {
  let undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const step of undo.toReversed()) await step()
    undo = []
  })

  const open = async () => {
    const libvirt = await openConnection(labHost(1).uri, { host: 'node1' })
    undo.push(() => libvirt.close())
    return libvirt
  }
  const host = (resolveUri: () => Promise<string>, timeoutMs = 5_000): HostConnection => {
    const connection = hostConnection({ host: 'node1', resolveUri, timeoutMs })
    undo.push(() => connection.close())
    return connection
  }
  const startTiny = async (libvirt: Connection) => {
    const uuid = randomUUID()
    await domain.defineDomain(libvirt, tinyDomain(uuid, `lv-${uuid.slice(0, 8)}`))
    undo.push(async () => {
      await domain.destroyDomain(libvirt, uuid).catch(() => {})
      await domain.undefineDomain(libvirt, uuid)
    })
    await domain.startDomain(libvirt, uuid)
    return uuid
  }

  /** A forwarder from a local socket to the host's libvirtd, as SSH makes one, that can be cut. */
  const tunnel = async () => {
    const path = join(tmpdir(), `lv-${randomUUID().slice(0, 8)}.sock`)
    const sockets = new Set<Socket>()
    const cut = () => {
      for (const socket of sockets) socket.destroy()
      sockets.clear()
    }
    const server = createServer((near) => {
      const far = connect(16509, labHost(1).address)
      for (const [one, other] of [[near, far] as const, [far, near] as const]) {
        sockets.add(one)
        one.on('error', () => {}).on('close', () => other.destroy())
        one.pipe(other)
      }
    })
    const listen = () => new Promise<void>((resolve) => server.listen(path, resolve))
    const stop = () => {
      cut()
      return new Promise<void>((resolve) => server.close(() => resolve()))
    }
    await listen()
    undo.push(stop, () => rm(path, { force: true }))
    return { uri: `qemu+unix:///system?socket=${path}`, cut, stop, listen }
  }

  test('calls that fail at the same time each get their own error', async () => {
    const libvirt = await open()
    const names = Array.from({ length: 50 }, (_, index) => `absent-${index}`)
    const uuids = names.map(() => randomUUID())
    const failures = await Promise.allSettled([
      ...names.map((name) => domain.findDomain(libvirt, name)),
      ...uuids.map((uuid) => domain.startDomain(libvirt, uuid)),
    ])
    for (const [index, failure] of failures.entries()) {
      expect(failure).toMatchObject({ status: 'rejected', reason: expect.any(NotFoundError) })
      const { message } = (failure as PromiseRejectedResult).reason as Error // just seen to be rejected
      expect(message).toContain(index < 50 ? `'${names[index]}'` : `'${uuids[index - 50]}'`)
    }
  })

  test('a hung QEMU holds up neither questions about it nor about others', async () => {
    const libvirt = await open()
    const [hung, healthy] = [await startTiny(libvirt), await startTiny(libvirt)]
    const qemu = await pidOn(1, 'qemu-system-x86_64', hung)
    process.kill(qemu, 'SIGSTOP')
    undo.push(() => process.kill(qemu, 'SIGCONT'))
    const slow = Array.from({ length: 6 }, () => domain.monitorCommand(libvirt, hung, { execute: 'query-status' }))
    let answered = 0
    for (const call of slow) void call.then(() => answered++)

    for (let round = 0; round < 5; round++) {
      expect(await domain.domainState(libvirt, hung)).toMatchObject({ state: 'running' })
      const samples = new Map((await domainSamples(libvirt)).map((sample) => [sample.uuid, sample]))
      expect(samples.get(healthy)).toMatchObject({ state: 'running', balloon: { maximum_kib: 131_072 } })
      expect(samples.get(hung)).toMatchObject({ state: 'running' })
    }
    expect(answered).toBe(0)
    process.kill(qemu, 'SIGCONT')
    expect(await Promise.all(slow)).toHaveLength(6)
  })

  test('a host connection opens at its first use, and reports events', async () => {
    let resolved = 0
    const libvirt = host(async () => {
      resolved++
      return labHost(1).uri
    })
    expect(resolved).toBe(0)
    const news = inbox<HostEvent>()
    libvirt.subscribe(['lifecycle'], news.put)
    await news.first(({ kind }) => kind === 'connected')
    const uuid = await startTiny(await open())
    await news.first(isLifecycle(uuid, 'started'))
    expect(resolved).toBe(1)
    expect(libvirt.isConnected()).toBe(true)
  })

  test('a lost connection gives an event, calls fail at once meanwhile, and events come again', async () => {
    const { uri, stop, listen } = await tunnel()
    const libvirt = host(async () => uri)
    const news = inbox<HostEvent>()
    libvirt.subscribe(['lifecycle'], news.put)
    await news.first(({ kind }) => kind === 'connected')
    expect(await domain.listDomains(libvirt)).toEqual(expect.any(Array))

    await stop()
    expect(await news.first(({ kind }) => kind === 'disconnected')).toMatchObject({
      error: expect.any(UnavailableError),
    })
    expect(libvirt.isConnected()).toBe(false)
    await expect(domain.listDomains(libvirt)).rejects.toThrow(/Host 'node1': the connection to libvirt was lost/)
    await expect(domain.listDomains(libvirt)).rejects.toThrow(UnavailableError)

    const again = inbox<HostEvent>()
    libvirt.subscribe([], again.put)
    await listen()
    await again.first(({ kind }) => kind === 'connected')
    const uuid = await startTiny(await open())
    await news.first(isLifecycle(uuid, 'started'))
    expect(news.all.filter(isLifecycle(uuid, 'started'))).toHaveLength(1)
    expect((await domain.listDomains(libvirt)).map((each) => each.uuid)).toContain(uuid)
  })

  test('calls under way when the connection is cut fail, and name the host', async () => {
    const { uri, cut } = await tunnel()
    const libvirt = host(async () => uri)
    const direct = await open()
    const uuid = await startTiny(direct)
    const qemu = await pidOn(1, 'qemu-system-x86_64', uuid)
    expect(await domain.domainState(libvirt, uuid)).toMatchObject({ state: 'running' })
    process.kill(qemu, 'SIGSTOP')
    undo.push(() => process.kill(qemu, 'SIGCONT'))
    const pending = domain.monitorCommand(libvirt, uuid, { execute: 'query-status' })
    const isRefused = expect(pending).rejects.toThrow(/host 'node1'/i)
    await domain.domainState(libvirt, uuid)
    cut()
    await isRefused
  })

  test('a host that cannot be reached fails with the cause, then at once', async () => {
    const refused = host(async () => 'qemu+unix:///system?socket=/nonexistent/libvirt.sock')
    await expect(domain.listDomains(refused)).rejects.toThrow(/Cannot reach libvirt on host 'node1'.*No such file/)
    await expect(domain.listDomains(refused)).rejects.toThrow(UnavailableError)

    const unresolved = host(() => Promise.reject(new Error('ssh: no route to host')))
    await expect(domain.listDomains(unresolved)).rejects.toThrow(/no route to host/)
    await expect(domain.listDomains(unresolved)).rejects.toMatchObject({ retryable: true })
  })

  test('resolving the address for too long is the host not answering', async () => {
    const libvirt = host(() => new Promise(() => {}), 200)
    await expect(domain.listDomains(libvirt)).rejects.toThrow(/did not answer within 0.2 s/)
    await expect(domain.listDomains(libvirt)).rejects.toThrow(/did not answer/)
  })

  test('after close nothing is answered', async () => {
    const libvirt = host(async () => labHost(1).uri)
    await domain.listDomains(libvirt)
    await libvirt.close()
    await expect(domain.listDomains(libvirt)).rejects.toThrow(/closed/)
    const connection = await open()
    await connection.close()
    await connection.close()
    await expect(domain.listDomains(connection)).rejects.toThrow(/closed/)
  })
})
