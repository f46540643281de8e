import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inject } from 'vitest'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { fetchEngines } from '../hosts/engines.ts'
import { available } from '../requirements.ts'
import { until } from '../wait.ts'
import { type LabEngines, labOf, missingFor, startEngines } from './start.ts'
import '../setup.ts'

const all: Runtime[] = ['docker', 'podman', 'lxc', 'lxd', 'incus']

/** The programs of Incus, fetched once for a run. @returns their folder */
async function fetchOnce(): Promise<string> {
  const of = join(inject('run').dir, 'incus')
  if (!existsSync(join(of, 'root'))) {
    await mkdir(of, { recursive: true })
    await fetchEngines(of)
  }
  return join(of, 'root')
}

/** The container engines of the run that this machine can have: the first file that asks starts them. */
export async function labEngines(): Promise<LabEngines> {
  const engines: Runtime[] = []
  for (const engine of all) if (available(engine, await missingFor(engine))) engines.push(engine)
  const { dir, pid } = inject('run')
  const own = join(dir, 'e')
  const isFirst = await mkdir(own).then(
    () => true,
    () => false,
  )
  if (isFirst) {
    await startEngines(own, engines, pid, engines.includes('incus') ? await fetchOnce() : undefined)
    await writeFile(join(own, 'ready'), '')
  } else {
    const isReady = () => existsSync(join(own, 'ready'))
    await until(isReady, { what: 'the engines of another worker', timeoutMs: 240_000 })
  }
  return labOf(own, engines)
}
