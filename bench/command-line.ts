import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startHorcrux } from '../test/lab/machine/instance.ts'
import { startMachine } from '../test/lab/machine/machine.ts'
import { repository } from '../test/lab/repository.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const rounds = 15
const password = 'a-Long-passphrase-1'

/** Start times of the command line beside a Node that does nothing, and one that asks the server once. */
export async function benchCommandLine(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const machine = await startMachine(dir)
  try {
    const { url } = await startHorcrux(machine, { HORCRUX_ADMIN_PASSWORD: password, HORCRUX_RATE_LIMIT: '0' })
    const home = join(machine.dir, 'home')
    await mkdir(home)
    await writeFile(join(home, 'password'), password)
    const env = { HOME: home }
    const run = async (program: string, ...words: string[]) => {
      const { code, stderr } = await machine.run(program, words, env)
      if (code !== 0) throw new Error(stderr)
    }
    const horcrux = join(repository, 'bin/horcrux')
    await run(horcrux, 'login', url, '--user', 'admin', '--password-file', join(home, 'password'))
    const ask = `fetch('${url}/api/openapi.json', { method: 'HEAD' })`
    const work = {
      node: () => run(process.execPath, '-e', '0'),
      fetch: () => run(process.execPath, '-e', ask),
      version: () => run(horcrux, '--version'),
      list: () => run(horcrux, 'vms', 'list'),
      words: () => run(horcrux, '__complete', '--', 'vms', ''),
      names: () => run(horcrux, '__complete', '--', 'vms', 'start', ''),
    }
    const found = new Map<string, number[]>(Object.keys(work).map((name) => [name, []]))
    // The first round fills the compile cache.
    for (let round = 0; round <= rounds; round++)
      for (const [name, one] of Object.entries(work)) {
        const ms = await timed(one)
        if (round > 0) found.get(name)!.push(ms)
      }
    const of = (name: keyof typeof work) => median(found.get(name)!)
    return [
      { what: 'node -e 0', value: of('node'), unit: 'ms' },
      { what: 'horcrux --version / node -e 0', value: of('version') / of('node'), unit: '', below: 2 },
      { what: 'horcrux vms list / node that fetches once', value: of('list') / of('fetch'), unit: '', below: 2 },
      { what: 'horcrux vms list', value: of('list'), unit: 'ms' },
      { what: 'completion of a verb', value: of('words'), unit: 'ms', below: 300 },
      { what: 'completion of a name', value: of('names'), unit: 'ms', below: 300 },
    ]
  } finally {
    await machine.remove()
    await rm(dir, { recursive: true, force: true })
  }
}
