import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { missingForHosts } from '../lab/hosts/hosts.ts'
import { missingForNats } from '../lab/bus/nats.ts'
import { available } from '../lab/requirements.ts'
import { horcrux } from '../lab/machine/instance.ts'
import { type Machine, startMachine } from '../lab/machine/machine.ts'

describe.skipIf(!available('qemu', [...(await missingForHosts()), ...(await missingForNats())]))('horcrux demo', () => {
  let machine: Machine
  beforeAll(async () => {
    machine = await startMachine(join(inject('run').dir, 'demo'))
  })
  afterAll(() => machine?.remove())

  test('shows a guest from its creation to its end, and leaves nothing', async () => {
    const processes = await machine.processes()
    const left = () =>
      machine.run('bash', [
        '-c',
        'ls -d "$TMPDIR"/horcrux-demo-* /etc/libvirt/qemu/*.xml /var/log/libvirt/qemu/* 2>/dev/null',
      ])
    const before = (await left()).stdout
    // Of a Horcrux in use: the temporary one must neither find its bus nor its store.
    await writeFile(join(machine.dir, '.env'), 'NATS_URL=nats://127.0.0.1:1\nMONGODB_URL=mongodb://127.0.0.1:1/used\n')
    const words = ['-C', machine.dir, 'node', horcrux, 'demo']
    const { code, stdout, stderr } = await machine.run('env', words, { HORCRUX_DATA: machine.dir })
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect(stdout).toMatch(/its serial console prints "horcrux-guest: up"/)
    expect(stdout).toMatch(/it is running: \d+\.\d s of processor time, 128 MiB given/)
    expect(stdout).toMatch(/Total: \d+\.\d s/)
    expect(await machine.processes()).toEqual(processes)
    expect((await left()).stdout).toBe(before)
  })
})
