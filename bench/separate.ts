import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { scenarios } from '../test/lab/faults/scenarios.ts'
import { startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import { type Part, partOf } from '../test/lab/product/child-process.ts'
import { repository } from '../test/lab/repository.ts'
import type { Timed } from '../test/lab/stops/timed-scenarios.ts'
import { until } from '../test/lab/wait.ts'
import { median, type Row } from './figures.ts'

const rounds = Number(process.env['ROUNDS'] ?? 5)
/** `KINDS=vms.start,vms.clone` measures these only. */
const wanted = process.env['KINDS']?.split(',')

/** Does a scenario in one of the two deployments. @returns the time of its operation in milliseconds */
async function time(part: Part, name: string): Promise<number> {
  const before = part.said().length
  part.tell(name)
  const said = await until(
    () =>
      part
        .said()
        .slice(before)
        .find((line) => line.startsWith('{"name"')),
    { what: name },
  )
  return (JSON.parse(said) as Timed).ms
}

/**
 * Each kind of operation in a deployment of separate processes with separate identities, over the time in one process. Both do
 * it in turn on the same hosts, and each is first every other time.
 */
export async function benchSeparate(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const hosts = await startHosts(join(dir, 'hosts'), 2)
  const program = join(repository, 'test/lab/stops/timed-scenarios.ts')
  const [one, separate] = ['one', 'separate'].map((way) =>
    partOf({
      name: way,
      words: [process.execPath, '--disable-warning=ExperimentalWarning', program, way, join(dir, 'hosts')],
      env: { TMPDIR: dir },
      ready: (lines) => lines.includes('ready'),
    }),
  ) as [Part, Part]
  try {
    await one.start()
    await separate.start()
    const rows: Row[] = []
    const all = Object.keys(scenarios(hosts[1]!, hosts[0]!))
    for (const name of all.filter((one) => wanted?.includes(one) ?? true)) {
      const times: { one: number[]; separate: number[] } = { one: [], separate: [] }
      for (let round = 0; round < rounds; round++) {
        if (round % 2 === 0) times.one.push(await time(one, name))
        times.separate.push(await time(separate, name))
        if (round % 2 === 1) times.one.push(await time(one, name))
      }
      const ratio = median(times.separate) / median(times.one)
      process.stdout.write(`${name}: ${median(times.one).toFixed(0)} ms, ${median(times.separate).toFixed(0)} ms\n`)
      rows.push({ what: `${name}, separate processes over one`, value: ratio, unit: 'x', below: 1.2 })
    }
    return rows
  } finally {
    await one.kill()
    await separate.kill()
    await stopHosts(join(dir, 'hosts'))
    await rm(dir, { recursive: true, force: true })
  }
}
