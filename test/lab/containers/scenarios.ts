import { containers } from '#shared/contracts/container/containers.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { Scenario } from '../faults/scenario.ts'
import type { TestHorcrux } from '../product/horcrux.ts'
import { done } from '../product/run-operation.ts'
import { idle } from './idle.ts'
import type { LabEngines } from './start.ts'

type Calling = Pick<TestHorcrux, 'call'>

const id = 'fault-it'
const wanted = { id, name: id, runtime: 'docker', image: 'tiny', command: idle, memory: 64 }
const make = (horcrux: Calling) => done(horcrux, containers, 'create', wanted)
const run = (horcrux: Calling) => done(horcrux, containers, 'create', { ...wanted, start: true })
const pause = async (horcrux: Calling) => {
  await run(horcrux)
  await done(horcrux, containers, 'pause', { id })
}

/** At least one for every kind of operation on containers, on one engine: the steps are the same on all. */
export const containerScenarios: Record<string, Scenario> = {
  'containers.create': { params: { ...wanted, start: true } },
  'containers.start': { before: make, params: { id } },
  'containers.stop': { before: run, params: { id, timeout: 1 } },
  'containers.stop of a paused one': { kind: 'containers.stop', before: pause, params: { id, timeout: 1 } },
  'containers.restart': { before: run, params: { id, timeout: 1 } },
  'containers.pause': { before: run, params: { id } },
  'containers.resume': { before: pause, params: { id } },
  'containers.exec': { before: run, params: { id, command: ['/bin/sh', '-c', 'sleep 0.2'], timeout: 10 } },
  'containers.delete': { before: run, params: { id, force: true } },
}

/** The containers of the scenarios: as Horcrux reports them, and as the engine and its processes have them. */
export async function readContainers(horcrux: TestHorcrux, { config }: LabEngines): Promise<{ containers: string[] }> {
  const { data } = await horcrux.call(containers, 'list', { filter: 'name:fault-*' })
  const recorded = data.map(async (each) => {
    // An event may be on its way: the status is read from the engine.
    const { status } = await horcrux.call(containers, 'status', { id: each.id })
    return `${each.id} ${status}`
  })
  const socket = `unix://${config.docker!.socket}`
  const words = ['-H', socket, 'ps', '--all', '--filter', 'name=fault-', '--format', '{{.Names}} {{.State}}']
  const { stdout } = await localHost().runChecked('docker', words)
  const left = await localHost().run('pgrep', ['--full', '--count', '^sleep 0.2$'])
  return {
    containers: [...(await Promise.all(recorded)), stdout.replaceAll('created', 'exited').trim(), left.stdout.trim()],
  }
}

/** Takes away the containers of a scenario. */
export async function clearContainers(horcrux: Calling): Promise<void> {
  const { data } = await horcrux.call(containers, 'list', { filter: 'name:fault-*' })
  for (const each of data) {
    if (!each.managed) await horcrux.call(containers, 'adopt', { id: each.id })
    await done(horcrux, containers, 'delete', { id: each.id, force: true })
  }
}
