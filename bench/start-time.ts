import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { horcrux, startHorcrux } from '../test/lab/machine/instance.ts'
import { startMachine } from '../test/lab/machine/machine.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const rounds = 3

/**
 * `npm start` on a machine of its own until it says that it is ready, and until it has ended after SIGTERM; the demo from
 * its begin to its end. Beside them a Node that does nothing, as the measure of the machine.
 */
export async function benchStart(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const machine = await startMachine(dir)
  try {
    const found: Record<'start' | 'stop' | 'node', number[]> = { start: [], stop: [], node: [] }
    for (let round = 0; round < rounds; round++) {
      found.node.push(await timed(() => promisify(execFile)(process.execPath, ['-e', '0'])))
      let instance: Awaited<ReturnType<typeof startHorcrux>> | undefined
      found.start.push(await timed(async () => (instance = await startHorcrux(machine))))
      found.stop.push(await timed(() => instance!.signal('TERM').then(() => instance!.exit)))
    }
    const demo = await timed(async () => {
      const { code, stderr } = await machine.run('node', [horcrux, 'demo'])
      if (code !== 0) throw new Error(stderr)
    })
    const [start, node] = [median(found.start), median(found.node)]
    return [
      { what: 'npm start until it is ready', value: start / 1000, unit: 's', below: 15 },
      { what: 'the same, against a Node that does nothing', value: start / node, unit: 'x' },
      { what: 'SIGTERM until it has ended', value: median(found.stop) / 1000, unit: 's', below: 10 },
      { what: 'npm run demo, from no Horcrux to none', value: demo / 1000, unit: 's', below: 60 },
    ]
  } finally {
    await machine.remove()
    await rm(dir, { recursive: true, force: true })
  }
}
