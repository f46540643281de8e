import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { missingForNats } from '../lab/bus/nats.ts'
import { ask } from '../lab/clients/http.ts'
import { horcrux } from '../lab/machine/instance.ts'
import { type Machine, startMachine } from '../lab/machine/machine.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'

describe.skipIf(!available('nats', await missingForNats()))('horcrux demo --fleet', () => {
  let machine: Machine
  beforeAll(async () => {
    machine = await startMachine(join(inject('run').dir, 'fleet'))
  })
  afterAll(() => machine?.remove())

  test('shows its VMs to the user that it prints, measures them, and leaves nothing at its end', async () => {
    const processes = await machine.processes()
    const words = ['env', '-C', machine.dir, 'node', horcrux, 'demo', '--fleet', '20']
    const child = await machine.spawn('bash', ['-c', 'exec "$@" 2>&1', 'bash', ...words])
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
    const found = (pattern: RegExp) => until(() => pattern.exec(said)?.[1], { what: `${pattern} in the output` })
    const url = (await found(/Horcrux is ready at (\S+)\/ with a simulated fleet: 20 VMs/))!
    const password = (await found(/sign in +admin, password (\S+)/))!
    const data = (await found(/data +(\S+) +\(temporary/))!
    const { body } = await ask(url, 'POST /api/auth/login', { json: { username: 'admin', password } })
    const token = String(body['token'])
    const list = await ask(url, 'GET /api/vms?limit=5&sort=-name&q=status:running,stopped,paused&facets=status', {
      token,
    })
    expect(list).toMatchObject({ status: 200, body: { total: 20 } })
    expect((list.body['data'] as { name: string }[]).length).toBe(5)
    const counts = Object.values((list.body['facets'] as { status: Record<string, number> }).status)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(20)
    // The service of metrics follows all of them, nodes too.
    await until(
      async () => {
        const { body: measured } = await ask(url, 'GET /api/monitoring/vms?limit=100', { token })
        const vms = (measured['data'] ?? []) as { quality: string }[]
        return vms.length === 20 && vms.some(({ quality }) => quality === 'fresh')
      },
      { what: 'fresh measurements of 20 VMs' },
    )
    const { code } = await machine.run('bash', ['-c', 'kill -INT "$(cat "$0")"', join(data, 'run/horcrux.pid')])
    expect(code).toBe(0)
    expect((await child.exit).code).toBe(0)
    expect(await machine.processes()).toEqual(processes)
    expect(existsSync(data)).toBe(false)
  })
})
