import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { pageText } from '#shared/service/metrics-page.ts'
import { containerMaker, useEngines } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { openSocket } from '../../lab/clients/sockets.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const lab = await labEngines()
const host = localHost()
const tag = randomBytes(3).toString('hex')
const nameOf = (runtime: Runtime) => `stats-${runtime}-${tag}`
let product: Product

beforeAll(async () => {
  product = await startProduct([], { allowedPaths: [lab.dir] })
  await useEngines(product.horcrux, lab)
  const make = containerMaker(product.horcrux, lab)
  for (const runtime of lab.engines) await make(runtime, nameOf(runtime), { start: true, memory: 64 })
})
afterAll(async () => {
  for (const runtime of lab.engines)
    await done(product.horcrux, containers, 'delete', { id: nameOf(runtime), force: true }).catch(() => undefined)
  await product?.stop()
})

const measured = async (id: string) => {
  const { data } = await product.horcrux.call(containers, 'measure', { node: 'local' })
  return data.find((sample) => sample.id === id)!
}
const stats = async (id: string) => (await product.ask(`GET /api/containers/${id}/stats`)).body

/** The control group of a container, found by its name in the tree of the kernel. */
async function folderOf(controller: string, runtime: Runtime): Promise<string> {
  const { engine_id, name } = await product.horcrux.call(containers, 'get', { id: nameOf(runtime) })
  const wanted = runtime === 'docker' || runtime === 'podman' ? `*${engine_id}` : `lxc.payload.${name}`
  const { stdout } = await host.runChecked('find', [`/sys/fs/cgroup/${controller}/`, '-type', 'd', '-name', wanted])
  return stdout.trim().split('\n').at(0)!
}
const numberOf = async (path: string) => Number(await host.readFile(path))

describe.each(lab.engines)('a container of %s', (runtime) => {
  const id = nameOf(runtime)

  test('has the numbers of its control groups, read right before and after', async () => {
    // On a kernel with version 2 alone, the unit tests compare the files.
    if (!(await host.stat('/sys/fs/cgroup/cpuacct'))) return
    const [cpu, memory] = [await folderOf('cpuacct', runtime), await folderOf('memory', runtime)]
    const read = async () => ({
      cpu: (await numberOf(`${cpu}/cpuacct.usage`)) / 1e9,
      memory: await numberOf(`${memory}/memory.usage_in_bytes`),
    })
    const before = await read()
    const { values, source, run } = await measured(id)
    const after = await read()
    expect(source).toBe('cgroup v1')
    expect(run).toMatch(/^\d+\/\d+$/)
    expect(values['cpu_seconds']).toBeGreaterThanOrEqual(before.cpu - 1e-6)
    expect(values['cpu_seconds']).toBeLessThanOrEqual(after.cpu + 1e-6)
    expect(values['memory_used_bytes']).toBeGreaterThan(0)
    expect(values['memory_used_bytes']).toBeLessThanOrEqual(Math.max(before.memory, after.memory) + 2 ** 20)
    expect(values['pids']).toBeGreaterThan(0)
    expect(values['oom_kills']).toBe(0)
  })

  test('has counters of a new run after a restart', async () => {
    const before = await measured(id)
    await done(product.horcrux, containers, 'exec', {
      id,
      command: ['/bin/sh', '-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'],
    })
    const busy = await measured(id)
    expect(busy.run).toBe(before.run)
    expect(busy.values['cpu_seconds']).toBeGreaterThan(before.values['cpu_seconds']!)
    await done(product.horcrux, containers, 'restart', { id, timeout: 2 })
    const after = await until(async () => (await measured(id)) ?? false, { what: 'a sample of the new run' })
    expect(after.run).not.toBe(before.run)
  })
})

const withStats = lab.engines.filter((runtime) => runtime === 'docker' || runtime === 'podman')
test.each(withStats)('the memory of a container of %s is what the stats of its engine say', async (runtime) => {
  const id = nameOf(runtime)
  const { socket } = lab.config[runtime as 'docker']!
  const { engine_id } = await product.horcrux.call(containers, 'get', { id })
  const path = `http://engine/v1.41/containers/${engine_id}/stats?stream=false`
  const { stdout } = await host.runChecked('curl', ['-sS', '--unix-socket', socket, path])
  const { memory_stats: memory } = JSON.parse(stdout) as {
    memory_stats: { usage: number; stats?: { total_inactive_file?: number } }
  }
  const { values } = await measured(id)
  // Its processes begin and end all the time.
  const used = memory.usage - (memory.stats?.total_inactive_file ?? 0)
  expect(Math.abs(values['memory_used_bytes']! - used)).toBeLessThan(4 * 2 ** 20)
})

test('containers are in the metrics, the page for Prometheus and the events, with limits and source; and go with their end', async () => {
  const socket = await openSocket(product.url, {
    headers: { authorization: `Bearer ${product.token}` },
    first: { topics: ['container:metrics'] },
  })
  for (const runtime of lab.engines) {
    const found = await until(
      async () => {
        const body = await stats(nameOf(runtime))
        return typeof body['cpu_percent'] === 'number' && body
      },
      { what: `the rates of ${runtime}` },
    )
    expect(found).toMatchObject({ runtime, quality: 'fresh', up: 1, memory_bytes: 64 * 2 ** 20, reason: null })
    expect(found['source']).toMatch(/^cgroup v[12]$/)
    expect(found['cpu_percent']).toBeLessThanOrEqual(150)
    const nulls = Object.entries(found).flatMap(([name, value]) => (value === null && name !== 'reason' ? [name] : []))
    expect(nulls.toSorted()).toEqual(Object.keys(found['missing'] as object).toSorted())
  }
  const { data } = await socket.next('ContainerMetrics')
  expect(data).toMatchObject({ source: expect.stringMatching(/^cgroup/), quality: 'fresh' })
  socket.socket.close()
  const [runtime] = lab.engines
  const id = nameOf(runtime!)
  const page = pageText('text')
  expect(page).toContain(`horcrux_container_info{container="${id}",name="${id}",node="local",runtime="${runtime}"} 1`)
  expect(page).toMatch(new RegExp(`^horcrux_container_cpu_seconds_total\\{container="${id}"\\} [\\d.]+$`, 'm'))
  const past = `subject=containers/${id}&interval=10s`
  const history = await product.ask(`GET /api/monitoring/history/memory_used_bytes?${past}`)
  expect((history.body['data'] as { avg: number | null }[]).some(({ avg }) => avg !== null && avg > 0)).toBe(true)
  await done(product.horcrux, containers, 'stop', { id, timeout: 2 })
  await until(async () => (await stats(id))['up'] === 0, { what: 'the last sample' })
  await done(product.horcrux, containers, 'delete', { id, force: true })
  expect((await product.ask(`GET /api/containers/${id}/stats`)).status).toBe(404)
  await until(async () => !pageText('text').includes(`"${id}"`), { what: 'a page without it' })
})
