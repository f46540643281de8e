import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type TinyGuest, buildTinyGuest } from '../../../tools/tiny-guest/tiny-guest.ts'
import type { HostProcess } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'

const host = localHost()
const qemu = await host.which('qemu-system-x86_64')

describe.skipIf(!available('qemu', qemu ? [] : ['qemu-system-x86_64 (Debian: qemu-system-x86)']))(
  'the tiny guest',
  () => {
    let dir: string
    let guest: TinyGuest
    const running: HostProcess[] = []

    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'horcrux-guest-'))
      guest = await buildTinyGuest(host, dir)
      await host.runChecked('truncate', ['-s', '1G', join(dir, 'disk')])
      await host.runChecked('truncate', ['-s', '64M', join(dir, 'plugged')])
    })

    afterAll(async () => {
      await host.close()
      await rm(dir, { recursive: true, force: true })
    })

    afterEach(async () => {
      await Promise.all(running.splice(0).map((child) => child.kill()))
    })

    async function boot(...extra: string[]) {
      const monitor = join(dir, 'monitor')
      const child = await host.spawn(
        'qemu-system-x86_64',
        [
          '-machine q35,accel=tcg -m 128 -nodefaults -display none -serial stdio'.split(' '),
          ['-monitor', `unix:${monitor},server=on,wait=off`],
          ['-kernel', guest.kernel, '-initrd', guest.initrd, '-append', `${guest.cmdline} horcrux.name=demo`],
          ['-drive', `file=${join(dir, 'disk')},format=raw,if=virtio`],
          ['-nic', 'user,model=virtio-net-pci,mac=52:54:00:aa:bb:cc'],
          extra,
        ].flat(),
      )
      running.push(child)
      let text = ''
      child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
      const ended = child.exit.then(({ stderr }) => Promise.reject(new Error(`QEMU ended: ${stderr} ${text}`)))
      ended.catch(() => {})
      const said = (what: string) => Promise.race([ended, until(() => text.includes(what), { what: `"${what}"` })])
      const command = (line: string) => void connect(monitor).end(`${line}\n`)
      return { child, said, command, text: () => text }
    }

    it('reports its devices, then that it is up, and powers off at its power button', async () => {
      const start = performance.now()
      const { child, said, command, text } = await boot()
      await said('horcrux-guest: up')
      console.info(`up after ${Math.round(performance.now() - start)} ms`)
      expect(text()).toContain('horcrux-guest: disk vda 1073741824\r\n')
      expect(text()).toContain('horcrux-guest: nic eth0 52:54:00:aa:bb:cc\r\n')
      expect(text()).toContain('horcrux-guest: parameter horcrux.name=demo\r\n')
      command('system_powerdown')
      await said('horcrux-guest: power button')
      expect(await child.exit).toMatchObject({ code: 0 })
    })

    it('has a shell on its console, and reports a disk that is plugged in', async () => {
      const { child, said, command } = await boot('-device', 'pcie-root-port,id=root1')
      await said('horcrux-guest: up')
      child.stdin.write('echo $((6 * 7))-from-the-shell\n')
      await said('42-from-the-shell')
      command(`drive_add 0 if=none,id=plugged,format=raw,file=${join(dir, 'plugged')}`)
      command('device_add virtio-blk-pci,drive=plugged,bus=root1')
      await said('horcrux-guest: disk vdb 67108864')
    })

    it('is not built twice', async () => {
      const [{ modifiedAt: before }] = [(await host.stat(guest.initrd))!]
      expect(await buildTinyGuest(host, dir)).toEqual(guest)
      expect((await host.stat(guest.initrd))!.modifiedAt).toEqual(before)
    })
  },
)
