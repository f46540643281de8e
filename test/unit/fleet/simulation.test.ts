import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { activityOf, after, type Run } from '#shared/nodes/simulated/activity.ts'
import { simulatedHost } from '#shared/nodes/simulated/host.ts'
import { openWorld, sourceOfImage } from '#shared/nodes/simulated/world.ts'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { fileIds } from '#shared/nodes/host/file-ids.ts'
import { nextVerb } from '../../../bin/fleet/life.ts'
import { planFleet } from '../../../bin/fleet/plan.ts'
import { sampleAll } from '../../../services/container/stats/measure.ts'
import { readRemote } from '../../../services/container/stats/read.ts'
import { newContainer, started } from '../../../services/container/drivers/simulated/simulated.ts'
import { nodeValues } from '../../../services/metrics/sources/proc.ts'
import { remoteReader } from '../../../services/metrics/sources/node-source.ts'

const root = resolve(import.meta.dirname, '../../..')

/** The files that a file loads when it is imported, of the project, and of these all that they load. */
function loadedBy(path: string, found = new Set<string>()): Set<string> {
  if (found.has(path)) return found
  found.add(path)
  const text = readFileSync(join(root, path), 'utf8')
  for (const [, name] of text.matchAll(/^(?:import|export)(?! type)[^']*? from '([^']+)'|^import '([^']+)'/gm)) {
    const target = name?.startsWith('#shared/')
      ? name.slice(1)
      : name?.startsWith('.') && relative(root, resolve(root, dirname(path), name))
    if (target && /\.(ts|js)$/.test(target)) loadedBy(target, found)
  }
  return found
}

describe('the simulation', () => {
  const entries = [
    ...readdirSync(join(root, 'services')).map((name) => `services/${name}/main.ts`),
    ...readdirSync(join(root, 'bin/commands')).map((name) => `bin/commands/${name}`),
    'bin/horcrux.ts',
  ]
  const ofSimulation = (paths: Iterable<string>) =>
    [...paths].filter((path) => /\/(simulated|fleet)\/|simulated\.ts$/.test(path))

  test.each(entries)('has no code in a process that begins with %s', (entry) => {
    const loaded = loadedBy(entry)
    // The walk itself finds files: a process without any would prove nothing.
    if (entry.startsWith('services/')) expect(loaded.size).toBeGreaterThan(50)
    expect(ofSimulation(loaded)).toEqual([])
  })

  test('is found by the same walk where it is used', () => {
    expect(ofSimulation(loadedBy('bin/fleet/fleet.ts'))).toContain('services/vm/drivers/simulated/simulated.ts')
  })
})

const stopped: Run = { status: 'stopped', runs: 3, since: null, ran_ms: 0 }

describe('the state of a simulated guest', () => {
  test('counts its starts and the time that it runs, without the time of a pause', () => {
    const running = after('start', stopped, 1000)!
    expect(running).toEqual({ status: 'running', runs: 4, since: 1000, ran_ms: 0 })
    const paused = after('pause', running, 5000)!
    expect(paused).toEqual({ status: 'paused', runs: 4, since: null, ran_ms: 4000 })
    expect(after('resume', paused, 9000)).toEqual({ status: 'running', runs: 4, since: 9000, ran_ms: 4000 })
    expect(after('stop', paused, 9000)).toEqual({ ...stopped, runs: 4 })
  })

  test.each([
    ['stop', 'stopped'],
    ['pause', 'stopped'],
    ['start', 'running'],
    ['resume', 'running'],
    ['start', 'paused'],
  ] as const)('is left by %s when it is %s', (verb, status) => {
    expect(after(verb, { ...stopped, status }, 1000)).toBeNull()
  })

  test('has counters that never fall, and memory within its limit', () => {
    const size = { cpus: 4, memoryBytes: 2 ** 30 }
    for (let guest = 0; guest < 50; guest++) {
      let before = activityOf(`vm-${guest}`, 0, size)
      for (let seconds = 5; seconds < 20_000; seconds += 97) {
        const now = activityOf(`vm-${guest}`, seconds, size)
        for (const name of ['cpu_seconds', 'disk_read_bytes', 'disk_writes', 'network_sent_bytes'] as const)
          expect(now[name]).toBeGreaterThanOrEqual(before[name])
        expect(now.cpu_seconds).toBeLessThanOrEqual(seconds * 4 * 1.8)
        expect(now.memory_used_bytes).toBeGreaterThan(0)
        expect(now.memory_used_bytes).toBeLessThan(size.memoryBytes)
        before = now
      }
    }
  })

  test('changes by itself, but for a pause', () => {
    expect(nextVerb({ status: 'paused' }, 0)).toBeNull()
    expect(nextVerb({ status: 'running' }, 0.05)).toBe('stop')
    expect(nextVerb({ status: 'running' }, 0.5)).toBeNull()
    expect(nextVerb({ status: 'stopped' }, 0.5)).toBe('start')
  })
})

describe('the plan of a fleet', () => {
  test('has unique names and addresses, disks in storage pools that their nodes reach, and room on each node', () => {
    const { nodes, pools, volumes, vms, containers } = planFleet(1000, Date.UTC(2026, 0, 31))
    expect(vms).toHaveLength(1000)
    expect(containers).toHaveLength(250)
    const unique = (values: string[]) => expect(new Set(values).size).toBe(values.length)
    unique(vms.map(({ id }) => id))
    unique(vms.map(({ name }) => name))
    unique(vms.map(({ mac }) => mac))
    unique(volumes.map(({ pool, name }) => `${pool}/${name}`))
    const poolOf = new Map(pools.map((pool) => [pool.id, pool.config]))
    for (const { node, disks } of vms)
      for (const { pool } of disks) {
        const config = poolOf.get(pool!)!
        expect('nodes' in config ? config.nodes : 'node' in config ? [config.node] : []).toContain(node)
      }
    for (const { id, memory_mib } of nodes) {
      const taken = vms.filter(({ node }) => node === id).reduce((sum, { memory }) => sum + memory, 0)
      expect(taken).toBeLessThan(memory_mib)
    }
  })

  test('is the same for the same number, but for its times', () => {
    const [first, second] = [planFleet(50, 1e12), planFleet(50, 2e12)]
    const names = ({ vms }: typeof first) => vms.map(({ name, memory, run }) => `${name} ${memory} ${run.status}`)
    expect(names(first)).toEqual(names(second))
    expect(new Set(first.vms.map(({ run }) => run.status))).toEqual(new Set(['running', 'stopped', 'paused']))
  })
})

describe('a simulated host', () => {
  const world = openWorld(':memory:')
  world.nodes.addAll([{ id: 'n1', node: 'n1', cpus: 8, memory_mib: 16_384, engines: [] }])
  const host = simulatedHost(world, 'n1')

  test('is measured as a real one is', async () => {
    const values = nodeValues(await remoteReader(host).read())
    expect(values).toMatchObject({ up: 1, cpus: 8, memory_total_bytes: 16_384 * 2 ** 20 })
    expect(values.cpu_busy_seconds! + values.cpu_idle_seconds!).toBeCloseTo(values.uptime_seconds! * 8, -2)
    expect(values.memory_available_bytes).toBeLessThan(values.memory_total_bytes!)
    expect(values.network_received_bytes).toBeGreaterThan(0)
    expect(values.disk_reads).toBeGreaterThan(0)
  })

  test('has control groups of its containers', async () => {
    const definition = { id: 'c1', name: 'web', node: 'n1', image: 'nginx', memory: 512, cpus: 1, pids: null }
    const rest = { rootfs: null, command: [], env: {}, labels: {}, ports: [], mounts: [], health_check: null }
    const made = newContainer('docker', { ...definition, ...rest, restart_policy: 'no', privileged: false })
    const since = Date.now() - 3_600_000
    const running = started(made, { status: 'running', runs: 1, since, ran_ms: 0 })
    world.containers.addAll([running])
    const [sample] = await sampleAll(host, readRemote(host), [{ id: 'c1', pid: running.pid!, sharesNetwork: false }])
    expect(sample).toMatchObject({ id: 'c1', run: `${running.pid}/1`, source: 'cgroup v2' })
    expect(Object.keys(sample!.values)).toEqual(
      expect.arrayContaining(['cpu_seconds', 'memory_used_bytes', 'pids', 'disk_reads', 'network_sent_bytes']),
    )
  })

  test('tells its images apart, and knows no other file', async () => {
    world.images.addAll(['a', 'b'].map((id) => ({ id, node: 'pool:/x', size_bytes: 1, used_bytes: 1 })))
    // Both are files.
    const paths = ['a', 'b'].map((name) => pathOfSource(sourceOfImage('pool:/x', name))!)
    const found = await fileIds(host, [...paths, '/etc/passwd'])
    expect([...found.keys()]).toEqual(paths)
    expect(new Set(found.values()).size).toBe(2)
  })

  test('runs no program', async () => {
    await expect(host.run('sh', ['-c', 'true'])).rejects.toThrow(/has no program 'sh'/)
    expect(await host.which('sh')).toBeNull()
    await expect(host.readFile('/etc/passwd')).rejects.toThrow(/is not on simulated host/)
  })
})
