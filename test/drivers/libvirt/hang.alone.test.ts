import { pbkdf2 } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { UnavailableError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { openConnection } from '#shared/nodes/libvirt/connection/connection.ts'
import { listDomains, startDomain } from '#shared/nodes/libvirt/client/domain.ts'
import { hostConnection, type HostEvent } from '#shared/nodes/libvirt/connection/host-connection.ts'
import { hasLab, inbox, labHost, pidOn } from './libvirt-lab.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const anyUuid = '00000000-0000-4000-8000-0000000000ff'

describe.skipIf(!hasLab())('a libvirtd that hangs', () => {
  let undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const step of undo.toReversed()) await step()
    undo = []
  })

  const stop = async () => {
    const pid = await pidOn(2, 'libvirtd')
    process.kill(pid, 'SIGSTOP')
    const goOn = () => process.kill(pid, 'SIGCONT')
    undo.push(goOn)
    return goOn
  }
  const host = (k: number) => {
    const limits = { timeoutMs: 1_500, keepAliveSeconds: 1 }
    const connection = hostConnection({ host: `node${k}`, resolveUri: async () => labHost(k).uri, ...limits })
    undo.push(() => connection.close())
    return connection
  }

  test('delays no other work, its own calls fail, and it works again when it continues', async () => {
    const [healthy, hung] = [host(1), host(2)]
    const news = inbox<HostEvent>()
    hung.subscribe(['lifecycle'], news.put)
    await news.first(({ kind }) => kind === 'connected')
    await Promise.all(Array.from({ length: 8 }, () => Promise.all([listDomains(healthy), listDomains(hung)])))
    const goOn = await stop()

    const questions = Array.from({ length: 20 }, () => listDomains(hung))
    const orders = Array.from({ length: 12 }, () => startDomain(hung, anyUuid))
    const settled = Promise.allSettled([...questions, ...orders])
    const questionsSettled = Promise.allSettled(questions)
    const opens = Promise.allSettled(
      Array.from({ length: 5 }, () => openConnection(labHost(2).uri, { timeoutMs: 4_000 })),
    )

    let rounds = 0
    for (let isPending = true; isPending; rounds++) {
      const others = [
        () => readFile('/etc/hosts'),
        () => promisify(pbkdf2)('secret', 'salt', 1_000, 32, 'sha256'),
        () => listDomains(healthy),
      ]
      for (const other of others) await other()
      isPending = await Promise.race([
        opens.then(() => false),
        new Promise<boolean>((resolve) => setImmediate(resolve, true)),
      ])
    }
    // A call that waited for the hung host would end the first round only when the opens have failed.
    expect(rounds).toBeGreaterThan(1)

    for (const open of await opens) expect(open).toMatchObject({ reason: expect.any(UnavailableError) })
    for (const each of await questionsSettled) expect(each).toMatchObject({ reason: expect.any(UnavailableError) })
    await news.first(({ kind }) => kind === 'disconnected') // keep-alive has found out
    for (const each of await settled) expect(each).toMatchObject({ reason: expect.any(UnavailableError) })
    // The call is refused without another wait for the host.
    await expect(listDomains(hung)).rejects.toMatchObject({ message: expect.not.stringContaining('did not answer') })

    const again = inbox<HostEvent>()
    hung.subscribe([], again.put)
    goOn()
    await again.first(({ kind }) => kind === 'connected')
    expect(await listDomains(hung)).toEqual(expect.any(Array))
  })

  test('is told to the borrower of a session, and lends none meanwhile', async () => {
    const connection = host(2)
    const lost = Promise.withResolvers<void>()
    const { release } = await connection.lend(lost.resolve)
    const unused = await connection.lend(() => expect.unreachable('a session that was given back is of no interest'))
    unused.release()
    await stop()
    const refused = expect(connection.lend(() => undefined)).rejects.toBeInstanceOf(UnavailableError)
    await Promise.all([lost.promise, refused])
    release()
  })

  test('closing does not wait for it', async () => {
    const connection = host(2)
    await listDomains(connection)
    await stop()
    const pending = [listDomains(connection), startDomain(connection, anyUuid)]
    const refused = Promise.all(pending.map((call) => expect(call).rejects.toThrow(/closed/)))
    await connection.close()
    await refused
  })

  const endings = {
    'process.exit': 'process.exit(7)',
    'an uncaught error': 'throw new Error("bug")',
    'close, then nothing': 'await connection.close()',
  }
  test.each(Object.entries(endings))('does not keep the process: %s', async (_, ending) => {
    await stop()
    const script = `
      import { setTimeout } from 'node:timers/promises'
      import { hostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
      import { listDomains } from '#shared/nodes/libvirt/client/domain.ts'
      const connection = hostConnection({ host: 'hung', resolveUri: async () => '${labHost(2).uri}', timeoutMs: 300 })
      await listDomains(connection).catch((error) => console.log(error.message))
      ${ending}`
    const run = await localHost().run(process.execPath, ['--input-type=module', '-e', script], {
      cwd: root,
      timeoutMs: 120_000,
    })
    expect(run.stdout).toContain('did not answer within 0.3 s')
    expect(run.code).toBe(ending.includes('exit') ? 7 : ending.includes('throw') ? 1 : 0)
  })
})
