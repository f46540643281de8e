import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import type { HostProcess } from '#shared/nodes/host/host.ts'
import { apiClient, type ApiClient } from '../../bin/api-client.ts'
import { missingForNats } from '../lab/bus/nats.ts'
import { horcrux } from '../lab/machine/instance.ts'
import { type Machine, startMachine } from '../lab/machine/machine.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'

type Fleet = { api: ApiClient; stop: () => Promise<void> }
type List = { data: Vm[]; total: number; facets: { status: Record<string, number> } }

describe.skipIf(!available('nats', await missingForNats()))('horcrux demo --fleet', () => {
  let machine: Machine
  let data = ''
  const demo = (...words: string[]) => ['node', horcrux, 'demo', ...words]
  const fleets = () => machine.run('bash', ['-c', 'ls -d "$TMPDIR"/horcrux-fleet-* 2>/dev/null'])

  beforeAll(async () => {
    machine = await startMachine(join(inject('run').dir, 'fleet'))
    data = join(machine.dir, 'named')
  })
  afterAll(() => machine?.remove())

  /** Starts a fleet, and signs in with what it prints. */
  async function begin(...words: string[]): Promise<Fleet> {
    // Of a Horcrux in use: a fleet must neither find its bus nor its store.
    const used = { NATS_URL: 'nats://127.0.0.1:1', MONGODB_URL: 'mongodb://127.0.0.1:1/used', HORCRUX_RATE_LIMIT: '0' }
    const child: HostProcess = await machine.spawn(
      'bash',
      ['-c', 'echo $$; exec "$@" 2>&1', 'bash', ...demo(...words)],
      used,
    )
    const lines: string[] = []
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
    const said = () => lines.join('\n')
    let hasEnded = false
    void child.exit.finally(() => (hasEnded = true))
    const greeting = () => /ready at (http:\S+)\/ with[^]*password (\S+)/.exec(said())
    await until(() => hasEnded || greeting(), { what: 'the fleet', intervalMs: 100 })
    const [, url, password] = greeting() ?? []
    expect(url, said()).toBeDefined()
    const { token } = await apiClient(url!).send<{ token: string }>('POST', '/auth/login', {
      username: 'admin',
      password,
    })
    return {
      api: apiClient(url!, token),
      stop: async () => {
        await machine.run('kill', ['-TERM', lines[0]!])
        expect((await child.exit).code, said()).toBe(0)
      },
    }
  }

  test('has VMs, containers and nodes that live, and goes on with the same folder', async () => {
    const first = await begin('--fleet', '40', '--data', data, '--changes', '20')
    const list = await first.api.get<List>('/vms?limit=100&facets=status')
    expect(list.total).toBe(40)
    expect(list.facets.status['running']).toBeGreaterThan(20)
    expect(await first.api.get('/containers?limit=1')).toMatchObject({ total: 10 })
    const areOnline = async () =>
      (await first.api.get<{ data: { status: string }[] }>('/cluster/nodes')).data.every(
        ({ status }) => status === 'online',
      )
    await until(areOnline, { what: 'all nodes to be online', intervalMs: 200 })
    const versions = () =>
      first.api.get<List>('/vms?limit=100').then(({ data: all }) => all.filter(({ version }) => version > 1))
    await until(async () => (await versions()).length > 5, { what: 'changes by themselves', intervalMs: 200 })

    const made = await first.api.send<Vm>('POST', '/vms', {
      name: 'mine',
      memory: 1024,
      cpus: 1,
      disks: [{ pool: 'shared', size: 2 ** 30 }],
      start: true,
    })
    expect(made).toMatchObject({ status: 'running', node: expect.stringMatching(/^sim-/) })
    const snapshot = await first.api.send<{ id: string }>('POST', `/vms/${made.id}/snapshots`, { name: 'first' })
    await first.api.send('POST', `/vms/${made.id}/stop`, { force: true })
    await first.api.send('POST', `/vms/${made.id}/snapshots/${snapshot.id}/restore`, {})
    const copy = await first.api.send<Vm>('POST', `/vms/${made.id}/clone`, { name: 'copy', mode: 'full' })
    await first.api.send('DELETE', `/vms/${copy.id}?purge=true`)
    await first.stop()

    const second = await begin('--fleet', '40', '--data', data, '--changes', '0')
    expect(await second.api.get(`/vms/${made.id}`)).toMatchObject({ name: 'mine', status: 'stopped' })
    expect(await second.api.get(`/vms/${made.id}/snapshots`)).toMatchObject({ data: [{ id: snapshot.id }] })
    expect((await second.api.get<List>('/vms?limit=1')).total).toBe(41)
    await second.stop()
  })

  test('never meets the records of real guests: neither start takes the folder of the other', async () => {
    const normal = await machine.run('node', [horcrux, 'start'], { HORCRUX_DATA: data })
    expect(normal.code).toBe(78)
    expect(normal.stderr).toContain('has a simulated fleet')
    const other = join(machine.dir, 'other')
    await mkdir(other)
    await writeFile(join(other, 'file'), 'mine')
    const [program, ...words] = demo('--fleet', '3', '--data', other)
    const refused = await machine.run(program!, words)
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('has other data')
    expect(await readdir(other)).toEqual(['file'])
    expect(await readFile(join(other, 'file'), 'utf8')).toBe('mine')
  })

  test.each([
    ['--fleet', 'many'],
    ['--fleet', '0'],
    ['--data', '/nowhere'],
  ])('refuses %s %s', async (...words) => {
    const [program, ...args] = demo(...words)
    const refused = await machine.run(program!, args)
    expect(refused.code).toBe(2)
    expect(refused.stderr).toMatch(/--(fleet|data)/)
  })

  test('removes a temporary folder and its processes at the end', async () => {
    const processes = await machine.processes()
    const temporary = await begin('--fleet', '3')
    expect((await fleets()).stdout).not.toBe('')
    await temporary.stop()
    expect((await fleets()).stdout).toBe('')
    expect(await machine.processes()).toEqual(processes)
  })
})
