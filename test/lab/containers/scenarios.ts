import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { containerSnapshots } from '#shared/contracts/container/container-snapshots.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { images } from '#shared/contracts/container/images.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { stacks } from '#shared/contracts/container/stacks.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { Scenario } from '../faults/scenario.ts'
import type { TestHorcrux } from '../product/horcrux.ts'
import { done } from '../product/run-operation.ts'
import { containerBackupScenarios } from './backup-scenarios.ts'
import { idle, inCompose } from './idle.ts'
import { startRegistry } from './registry.ts'
import type { LabEngines } from './start.ts'

type Calling = Pick<TestHorcrux, 'call'>

/** A command that no other process of the machine runs, so that the ones that are left are counted. */
const shortSleep = `sleep 0.2${process.pid}`

const id = 'fault-it'
const wanted = { id, name: id, runtime: 'docker', image: 'tiny', command: idle, memory: 64 }
const make = (horcrux: Calling) => done(horcrux, containers, 'create', wanted)
const run = (horcrux: Calling) => done(horcrux, containers, 'create', { ...wanted, start: true })
const pause = async (horcrux: Calling) => {
  await run(horcrux)
  await done(horcrux, containers, 'pause', { id })
}

/** The address of a registry is known when it runs, and an image's id when it is made. */
const ofPull = { runtime: 'docker', image: '' }
const ofImage = { id: '' }
let registry: ReturnType<typeof startRegistry> | undefined
const withRegistry = (engines: LabEngines) => async () => {
  // It ends with this process.
  const { address } = await (registry ??= startRegistry(engines, ''))
  ofPull.image = `${address}/good/fault-it:1`
}
const ofArchive = { runtime: 'docker', path: '', kind: 'rootfs', name: 'fault-it' }
const withArchive = (engines: LabEngines) => async (horcrux: Calling) => {
  const { state_dir } = await horcrux.call(nodes, 'get', { id: 'local' })
  ofArchive.path = join(state_dir, 'fault-it.tar')
  await copyFile(engines.archive, ofArchive.path)
}
const withImage = (engines: LabEngines) => async (horcrux: Calling) => {
  await withArchive(engines)(horcrux)
  const { id: made } = (await done(horcrux, images, 'import', ofArchive)) as { id: string }
  ofImage.id = made
}

/** An engine that has snapshots. */
const onIncus = (horcrux: Calling) => {
  const name = 'fault-snap'
  return done(horcrux, containers, 'create', { id: name, name, runtime: 'incus', image: 'tiny' })
}
const withSnapshot = async (horcrux: Calling) => {
  await onIncus(horcrux)
  await done(horcrux, containerSnapshots, 'create', { id: 'fault-snap', name: 'one' })
}

const stackFile = (mark: string) =>
  JSON.stringify({
    services: {
      web: {
        image: 'tiny',
        command: inCompose(idle),
        environment: { MARK: mark },
        volumes: ['data:/data'],
        stop_grace_period: '1s',
      },
    },
    volumes: { data: {} },
  })
const ofStack = { name: 'fault-stack', runtime: 'docker', compose_file: stackFile('one'), watch: 0 }
/** The id of a stack follows from its node, engine and name. */
const ofStackChange = { id: '', compose_file: stackFile('two'), timeout: 1, watch: 0 }
const ofStackEnd = { id: '', timeout: 1, volumes: true }
const withStack = async (horcrux: Calling) => {
  const { id: made } = (await done(horcrux, stacks, 'create', ofStack)) as { id: string }
  ofStackChange.id = ofStackEnd.id = made
}

/** At least one for every kind of operation on containers, on one engine: the steps are the same on all. */
export const containerScenarios = (engines: LabEngines): Record<string, Scenario> => ({
  'containers.create': { params: { ...wanted, start: true } },
  'containers.start': { before: make, params: { id } },
  'container-bulk.run': { before: run, params: { action: 'stop', ids: [id], params: { timeout: 1 } } },
  'containers.stop': { before: run, params: { id, timeout: 1 } },
  'containers.stop of a paused one': { kind: 'containers.stop', before: pause, params: { id, timeout: 1 } },
  'containers.restart': { before: run, params: { id, timeout: 1 } },
  'containers.pause': { before: run, params: { id } },
  'containers.resume': { before: pause, params: { id } },
  'containers.exec': { before: run, params: { id, command: ['/bin/sh', '-c', shortSleep], timeout: 10 } },
  'containers.recreate': { before: run, params: { id, env: { MARK: 'new' }, timeout: 1, watch: 0 } },
  'prunes.prune': { before: make, params: { runtime: 'docker', images: 'none' } },
  'containers.clone': { before: run, params: { id, target_id: 'fault-copy', target_name: 'fault-copy' } },
  'containers.commit': { before: run, params: { id, image: 'fault-it:made' } },
  'container-snapshots.create': { before: onIncus, params: { id: 'fault-snap', name: 'one' } },
  'container-snapshots.restore': { before: withSnapshot, params: { id: 'fault-snap', name: 'one' } },
  'container-snapshots.delete': { before: withSnapshot, params: { id: 'fault-snap', name: 'one' } },
  'containers.delete': { before: run, params: { id, force: true } },
  ...containerBackupScenarios(run),
  'images.pull': { before: withRegistry(engines), params: ofPull },
  'images.import': { before: withArchive(engines), params: ofArchive },
  'stacks.create': { params: ofStack },
  'stacks.update': { before: withStack, params: ofStackChange },
  'stacks.delete': { before: withStack, params: ofStackEnd },
  'images.delete': { before: withImage(engines), params: ofImage },
})

/** The containers of the scenarios, and those that were put aside. */
async function containersOf(horcrux: Calling) {
  const lists = ['fault', 'aside'].map((name) => horcrux.call(containers, 'list', { filter: `name:${name}-*` }))
  return (await Promise.all(lists)).flatMap(({ data }) => data)
}

const imagesOf = async (horcrux: Calling) =>
  (await horcrux.call(images, 'list', { limit: 1000 })).data.filter(({ tags }) => tags.join().includes('fault-it'))

/** The containers and images of the scenarios: as Horcrux reports them, and as the engine and its processes have them. */
export async function readContainers(horcrux: TestHorcrux, { config }: LabEngines): Promise<{ containers: string[] }> {
  const recorded = (await containersOf(horcrux)).map(async (each) => {
    // An event may be on its way: the status is read from the engine.
    const { status } = await horcrux.call(containers, 'status', { id: each.id })
    const { data } = await horcrux.call(containerSnapshots, 'list', { id: each.id }).catch(() => ({ data: [] }))
    // Those of a stack have other ids when Compose has made them again.
    const id = each.stack === null ? each.id : each.stack
    return `${id} ${each.name} ${status} ${each.env['MARK']} ${data.map(({ name }) => name).join()}`
  })
  const docker = async (...words: string[]) =>
    (await localHost().runChecked('docker', ['-H', `unix://${config.docker!.socket}`, ...words])).stdout.trim()
  const filters = ['--filter', 'name=fault-', '--filter', 'name=aside-']
  const there = await docker('ps', '--all', ...filters, '--format', '{{.Names}} {{.State}}')
  const ofStacks = await Promise.all([
    docker('volume', 'ls', '--filter', 'name=fault-stack', '--format', 'volume {{.Name}}'),
    docker('network', 'ls', '--filter', 'name=fault-stack', '--format', 'network {{.Name}}'),
    horcrux.call(stacks, 'list', { filter: 'name:fault-stack' }),
  ])
  const tags = (await docker('images', '--format', '{{.Repository}}:{{.Tag}}')).split('\n')
  const left = await localHost().run('pgrep', ['--full', '--count', `^${shortSleep}$`])
  return {
    containers: [
      ...(await Promise.all(recorded)),
      there.replaceAll('created', 'exited'),
      ...ofStacks.slice(0, 2).map(String),
      ...ofStacks[2].data.map(({ name, managed, status }) => `stack ${name} ${managed} ${status}`),
      ...tags.filter((tag) => tag.includes('fault-it')),
      left.stdout.trim(),
    ],
  }
}

/** Takes away the containers and images of a scenario. */
export async function clearContainers(horcrux: Calling): Promise<void> {
  for (const { id, managed } of (await horcrux.call(stacks, 'list', { filter: 'name:fault-stack' })).data)
    if (managed) await done(horcrux, stacks, 'delete', { id, volumes: true, timeout: 1 })
  for (const each of await containersOf(horcrux)) {
    if (!each.managed) await horcrux.call(containers, 'adopt', { id: each.id })
    await done(horcrux, containers, 'delete', { id: each.id, force: true })
  }
  for (const each of await imagesOf(horcrux)) await done(horcrux, images, 'delete', { id: each.id })
}
