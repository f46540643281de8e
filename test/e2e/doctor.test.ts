import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Diagnosis } from '#shared/platform/doctor.ts'
import { missingForHosts } from '../lab/hosts/hosts.ts'
import { missingForNats } from '../lab/bus/nats.ts'
import { available } from '../lab/requirements.ts'
import { horcrux } from '../lab/machine/instance.ts'
import { type Machine, startMachine } from '../lab/machine/machine.ts'

describe.skipIf(!available('libvirt', [...(await missingForHosts()), ...(await missingForNats())]))(
  'horcrux doctor',
  () => {
    let machine: Machine
    beforeAll(async () => {
      machine = await startMachine(join(inject('run').dir, 'doctor'))
    })
    afterAll(() => machine?.remove())

    const doctor = async () => {
      const { stdout, code } = await machine.run('node', [horcrux, 'doctor', '-o', 'json'])
      return { code, ...(JSON.parse(stdout) as Diagnosis) }
    }
    /** Puts something that is no program in its place, on that machine only. */
    const hide = (program: string) =>
      machine.run('bash', ['-c', 'mount --bind /dev/null "$(command -v "$0")"', program])

    test('lists the findings, and ends with 0 on a machine that lacks nothing needed', async () => {
      const { stdout, code } = await machine.run('node', [horcrux, 'doctor'])
      expect(stdout).toMatch(/^ok +nats-server +2\.\d+\.\d+/m)
      expect(stdout).toMatch(/^ok +curl +\d+\.\d+/m)
      expect(stdout).toMatch(/^ok +QEMU +\d+\.\d+/m)
      expect(code).toBe(0)
    })

    test('tells emulation from KVM by the processor, not by /dev/kvm alone', async () => {
      const { stdout } = await machine.run('bash', ['-c', 'grep -cE "^flags.* (vmx|svm) " /proc/cpuinfo'])
      const acceleration = (await doctor()).findings.find(({ name }) => name === 'acceleration')
      if (stdout.trim() === '0') expect(acceleration).toMatchObject({ state: 'note', found: 'emulation (TCG)' })
      else expect(acceleration?.needed_for).toMatch(/vmx|svm/)
    })

    test('names the packages of missing programs, and ends with 1 when one of them is needed', async () => {
      await hide('genisoimage')
      expect(await doctor()).toMatchObject({ code: 0, healthy: true })
      await hide('nats-server')
      const { code, findings } = await doctor()
      expect(code).toBe(1)
      expect(findings.filter(({ state }) => state === 'missing')).toMatchObject([
        { name: 'nats-server', needed: true, help: 'apt-get install nats-server' },
        { name: 'genisoimage', needed: false, help: 'apt-get install genisoimage' },
      ])
    })

    test('says which outputs there are, and ends with 2', async () => {
      const { code, stdout, stderr } = await machine.run('node', [horcrux, 'doctor', '-o', 'xyz'])
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toContain('table or json')
    })

    test('an unknown command ends with 2 and suggests the nearest command', async () => {
      const { code, stderr } = await machine.run('node', [horcrux, 'docter'])
      expect(code).toBe(2)
      expect(stderr).toContain("did you mean 'doctor'?")
    })
  },
)
