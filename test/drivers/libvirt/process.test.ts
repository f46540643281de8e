import { realpath } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { openConnection } from '#shared/nodes/libvirt/connection/connection.ts'
import { domainXml, findDomain } from '#shared/nodes/libvirt/client/domain.ts'
import { domainSamples, domainStates } from '#shared/nodes/libvirt/client/stats.ts'
import { hasLab } from './libvirt-lab.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const mebibyte = 2 ** 20

describe.skipIf(!hasLab())('the libvirt library in this process', () => {
  test('20,000 calls leave no memory behind', async () => {
    const libvirt = await openConnection('test:///default')
    const { uuid } = await findDomain(libvirt, 'test')
    const round = async (count: number) => {
      for (let index = 0; index < count; index++) {
        await domainStates(libvirt)
        await domainSamples(libvirt)
        await domainXml(libvirt, uuid)
        await findDomain(libvirt, 'absent').catch(() => {})
      }
    }
    // What V8 and malloc take at first is not a leak: the first rounds are for them.
    await round(1_500)
    const before = process.memoryUsage.rss()
    await round(3_500)
    const grown = (process.memoryUsage.rss() - before) / mebibyte
    await libvirt.close()
    // 14,000 calls that lost but 1 KiB each would be 14 MiB.
    expect(grown).toBeLessThan(10)
  })

  test('nothing is printed, and the process ends by itself', async () => {
    const script = `
      import { openConnection } from '#shared/nodes/libvirt/connection/connection.ts'
      import { findDomain } from '#shared/nodes/libvirt/client/domain.ts'
      const libvirt = await openConnection('test:///default')
      await findDomain(libvirt, 'absent').catch((error) => console.log(error.name))
      await openConnection('nonsense:///').catch((error) => console.log(error.name))
      await libvirt.close()`
    const run = await localHost().run(process.execPath, ['--input-type=module', '-e', script], {
      cwd: root,
      timeoutMs: 120_000,
    })
    expect(run).toMatchObject({ code: 0, stdout: 'NotFoundError\nUnavailableError\n', stderr: '' })
  })

  test('without the library the import works, and connecting names the package to install', async () => {
    const library = await realpath('/usr/lib/x86_64-linux-gnu/libvirt.so.0')
    const script = `
      import { openConnection } from '#shared/nodes/libvirt/connection/connection.ts'
      await openConnection('test:///default').catch((error) => console.log(error.name, error.message))`
    const hide = `mount --bind /dev/null ${library} && exec "$0" "$@"`
    const args = ['--mount', 'sh', '-c', hide, process.execPath, '--input-type=module', '-e', script]
    const run = await localHost().run('unshare', args, { cwd: root, timeoutMs: 120_000 })
    expect(run).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^UnavailableError .*Install libvirt0/),
      stderr: '',
    })
  })
})
