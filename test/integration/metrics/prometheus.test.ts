import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { columnNames } from '#shared/contracts/metrics/catalog.ts'
import type { HostProcess } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { ringOf } from '../../../services/metrics/collect/subjects.ts'
import { edgesOf, intervalOf } from '../../../services/metrics/history/buckets.ts'
import { readHistory } from '../../../services/metrics/history/query.ts'
import { createRing } from '../../../services/metrics/history/ring.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'

const machine = localHost()
const missing = (await machine.which('prometheus')) === null ? ['prometheus (Debian: prometheus)'] : []
const exporter = 'prometheus-node-exporter'
const lacksExporter = (await machine.which(exporter)) === null ? [`${exporter} (Debian)`] : []

type Answer = { data: { result: { metric: Record<string, string>; value: [number, string] }[] } }

describe.runIf(available('prometheus', missing))('a real Prometheus', () => {
  let dir: string
  let product: Product
  let metricsPort: number
  const processes: HostProcess[] = []

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'horcrux-prometheus-'))
    metricsPort = await freePort(0)
    product = await startProduct([], { metricsPort })
  })
  afterAll(async () => {
    for (const each of processes) await each.kill()
    await product?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  const page = async (accept: string) =>
    (await fetch(`http://127.0.0.1:${metricsPort}/metrics`, { headers: { accept } })).text()

  /** Starts Prometheus on a folder. @returns asks it */
  async function startPrometheus(folder: string, config: string) {
    const port = await freePort(0)
    const file = join(dir, `${port}.yml`)
    await writeFile(file, config)
    const words = [
      `--config.file=${file}`,
      `--storage.tsdb.path=${folder}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--storage.tsdb.retention.time=100y',
    ]
    const started = await machine.spawn('prometheus', words)
    started.stdout.resume()
    processes.push(started)
    const query = async (expression: string, time?: number): Promise<Answer['data']['result']> => {
      const url = new URL(`http://127.0.0.1:${port}/api/v1/query`)
      url.searchParams.set('query', expression)
      if (time !== undefined) url.searchParams.set('time', String(time))
      return ((await (await fetch(url)).json()) as Answer).data.result
    }
    await until(async () => (await query('vector(1)')).length === 1, { what: 'Prometheus' })
    return query
  }

  test('scrapes the page as OpenMetrics, with all metrics of a node', async () => {
    const config = `global: { scrape_interval: 1s }\nscrape_configs:\n  - job_name: horcrux\n    static_configs: [{ targets: ['127.0.0.1:${metricsPort}'] }]\n`
    const query = await startPrometheus(join(dir, 'scraped'), config)
    const found = await until(
      async () => {
        const [up] = await query('horcrux_node_up{node="local"}')
        return up && up.value[1] === '1' && up
      },
      { what: 'the node in Prometheus' },
    )
    expect(found.metric).toMatchObject({ job: 'horcrux', node: 'local' })
    expect((await query('up{job="horcrux"}'))[0]!.value[1]).toBe('1')
    expect(Number((await query('scrape_samples_scraped'))[0]!.value[1])).toBeGreaterThan(50)
    const [memory] = await query('horcrux_node_memory_total_bytes')
    expect(Number(memory!.value[1])).toBe(ringOf('nodes/local')!.value('memory_total_bytes'))
    for (const name of [
      'horcrux_http_request_duration_seconds_count',
      'horcrux_store_command_duration_seconds_count',
      'horcrux_bus_connected',
      'horcrux_action_duration_seconds_count',
    ])
      expect((await query(name)).length, name).toBeGreaterThan(0)
  })

  test('the two formats differ in their heads, and both end as they should', async () => {
    const [open, text] = [await page('application/openmetrics-text'), await page('text/plain')]
    expect(open.endsWith('# EOF\n')).toBe(true)
    expect(text).not.toContain('# EOF')
    expect(open).toContain('# TYPE horcrux_node_cpu_busy_seconds counter\n')
    expect(text).toContain('# TYPE horcrux_node_cpu_busy_seconds_total counter\n')
    expect((await fetch(`http://127.0.0.1:${metricsPort}/other`)).status).toBe(404)
    expect((await fetch(`http://127.0.0.1:${metricsPort}/metrics`, { method: 'POST' })).status).toBe(405)
  })

  test('its rate() equals our history', async () => {
    const begin = Date.parse('2026-05-01T00:00:00Z')
    const ring = createRing(columnNames('vms'), 400)
    const lines = ['# TYPE horcrux_vm_disk_read_bytes counter']
    let [counter, seed] = [0, 42]
    for (let index = 0; index <= 360; index++) {
      const time = begin + index * 10_000
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
      counter += seed % 100_000
      ring.push({
        time,
        steady: time,
        identity: { id: 'run', node: 'n' },
        source: 'test',
        quality: 'fresh',
        values: { disk_read_bytes: counter },
      })
      lines.push(`horcrux_vm_disk_read_bytes_total{vm="x"} ${counter} ${time / 1000}`)
    }
    await writeFile(join(dir, 'past.txt'), `${lines.join('\n')}\n# EOF\n`)
    await machine.runChecked('promtool', [
      'tsdb',
      'create-blocks-from',
      'openmetrics',
      join(dir, 'past.txt'),
      join(dir, 'past'),
    ])
    const query = await startPrometheus(join(dir, 'past'), 'global: {}\n')
    const interval = intervalOf('5m')
    const end = begin + 3_600_000
    const edges = edgesOf(begin + 300_000, end, interval)
    const asked = {
      subject: 'vms/past' as const,
      metric: 'disk_read_bytes_per_second',
      edges,
      interval,
      intervalMs: 10_000,
      now: end,
    }
    const { data } = await readHistory(asked, ring)
    expect(data.length).toBe(11)
    for (const { time, avg } of data) {
      // The last sample of a bucket is ten seconds before its end.
      const last = Date.parse(time) / 1000 + 290
      const [theirs] = await query('rate(horcrux_vm_disk_read_bytes_total{vm="x"}[5m])', last)
      expect(Math.abs(Number(theirs!.value[1]) / avg! - 1)).toBeLessThan(0.01)
    }
  })

  test.runIf(available('prometheus', lacksExporter))(
    "the numbers of this machine are those of Debian's node exporter",
    async () => {
      const port = await freePort(0)
      const started = await machine.spawn(exporter, [`--web.listen-address=127.0.0.1:${port}`])
      started.stdout.resume()
      processes.push(started)
      const theirs = async () => {
        const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
        const sum = (pattern: RegExp) =>
          [...text.matchAll(pattern)].reduce((total, [, value]) => total + Number(value), 0)
        return {
          user: sum(/^node_cpu_seconds_total\{cpu="\d+",mode="(?:user|nice)"\} (\S+)$/gm),
          idle: sum(/^node_cpu_seconds_total\{cpu="\d+",mode="idle"\} (\S+)$/gm),
          memory: sum(/^node_memory_MemTotal_bytes (\S+)$/gm),
          read: sum(/^node_disk_read_bytes_total\{device="(?:sd[a-z]+|vd[a-z]+|nvme\d+n\d+)"\} (\S+)$/gm),
        }
      }
      const before = await until(theirs, { what: 'the node exporter' })
      const sampled = ringOf('nodes/local')!.lastTime()
      const ring = await until(() => {
        const found = ringOf('nodes/local')!
        return found.lastTime() > sampled && found
      })
      const measured = {
        user: ring.value('cpu_user_seconds'),
        idle: ring.value('cpu_idle_seconds'),
        read: ring.value('disk_read_bytes'),
      }
      const after = await theirs()
      // A tick for each processor: theirs are rounded one by one.
      const tick = 0.01 * ring.value('cpus')
      for (const name of ['user', 'idle'] as const) {
        expect(measured[name]).toBeGreaterThanOrEqual(before[name] - tick)
        expect(measured[name]).toBeLessThanOrEqual(after[name] + tick)
      }
      expect(measured.read).toBeGreaterThanOrEqual(before.read)
      expect(measured.read).toBeLessThanOrEqual(after.read)
      expect(ring.value('memory_total_bytes')).toBe(after.memory)
    },
  )
})
