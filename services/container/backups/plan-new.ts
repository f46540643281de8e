import { call } from '#shared/bus/call.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { containerArchives } from '#shared/contracts/container/container-archives.ts'
import type { NewMount, Runtime } from '#shared/contracts/container/parts.ts'
import type { SavedContainer, SavedPlace } from '#shared/contracts/container/saved-container.ts'
import { alreadyExists, type Violation } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import type { Definition, Field } from '../drivers/driver.ts'
import { drivers } from '../drivers/drivers.ts'
import { contradictions, takenPorts } from '../lifecycle/create.ts'
import { resolveMounts } from '../lifecycle/mounts.ts'
import { containerRecords } from '../model.ts'
import { withoutProject } from '../state/observe.ts'
import { rootFilesOf } from './describe.ts'
import { type SavedFiles, savedFiles } from './source.ts'
import { newVolumeName } from './volumes.ts'

type Given = Params<typeof containerArchives, 'foreseeNew'>
export type Foreseen = Result<typeof containerArchives, 'foreseeNew'>
export type Planned = { foreseen: Foreseen; definition: Definition; runtime: Runtime; saved: SavedFiles }
type Differ = (field: string, backup: string, restored: string, reason: string) => void

const listed = (words: readonly string[]) => (words.length === 0 ? 'none' : words.join(', '))

async function freeName(saved: SavedContainer, runtime: Runtime, node: string): Promise<string> {
  const { nameRule } = drivers[runtime]
  const fitting = nameRule.pattern.test(saved.name) ? saved.name : saved.name.replaceAll(/[^A-Za-z0-9-]+/g, '-')
  for (let count = 0; ; count++) {
    const name = count === 0 ? fitting : `${fitting.slice(0, 50)}-restored${count === 1 ? '' : `-${count}`}`
    if (!(await containerRecords.find({ node, runtime, name }))) return name
  }
}

/** The value of a field of the new container, or `none` where its engine does not have it. */
function fieldOf<T>(field: Field, runtime: Runtime, { value, none }: { value: T; none: T }, differ: Differ): T {
  const reason = drivers[runtime].lacks[field]
  if (reason === undefined) return value
  const words = (each: T) =>
    Array.isArray(each) ? listed(each.map((one) => JSON.stringify(one))) : JSON.stringify(each)
  differ(field, words(value), words(none), reason)
  return none
}

async function portsOf(saved: SavedContainer, runtime: Runtime, node: string, differ: Differ) {
  const all = fieldOf('ports', runtime, { value: saved.ports, none: [] }, differ)
  const taken = new Map((await takenPorts({ node, ports: all })).map(({ field, message }) => [field, message]))
  return all.filter(({ host_port, protocol }, index) => {
    const message = taken.get(`ports.${index}.host_port`)
    if (message !== undefined) differ('ports', `${host_port}/${protocol}`, 'not published', message)
    return message === undefined
  })
}

type Mounting = { given: Given; id: string; saved: SavedFiles; takesVolumes: boolean; reached: Reached | undefined }

/** The mounts of the new container. Volumes are new ones, so that no two containers write to one. */
async function mountsOf({ given, id, saved, takesVolumes, reached }: Mounting, violations: Violation[]) {
  const places: SavedPlace[] = []
  const left_out = [...saved.left_out]
  const mounts: NewMount[] = []
  for (const { id: place, target, volume } of saved.places) {
    if (volume !== null && !takesVolumes) {
      left_out.push({ target, reason: 'the engine of the new container takes no content of volumes' })
      continue
    }
    places.push({ id: place, target, volume })
    if (volume === null) continue
    const read_only = saved.container.mounts.find((mount) => mount.target === target)?.read_only ?? false
    mounts.push({ type: 'volume', source: newVolumeName(volume, id), target, read_only })
  }
  for (const { type, source, target, read_only } of saved.container.mounts)
    if (given.bind_mounts && type === 'bind' && source !== null)
      mounts.push({ type: 'bind', source, target, read_only })
  const resolved = reached ? await resolveMounts(reached, mounts, violations) : []
  return { mounts: resolved, places, left_out }
}

/** The id and name of the new container, on an engine of a node. @throws AlreadyExistsError for ones that are taken */
async function identify(given: Given, { container }: SavedFiles) {
  const { container_id: id = newId(), node = container.node, runtime = container.runtime } = given
  if (await containerRecords.get(id)) throw alreadyExists(id, { field: 'container_id' })
  const name = given.name ?? (await freeName(container, runtime, node))
  if (await containerRecords.find({ node, runtime, name })) throw alreadyExists(name, { field: 'name' })
  return { id, name, node, runtime }
}

/** The node of the new container. */
async function nodeOf(node: string, { resource_pool }: Given, violations: Violation[]): Promise<Reached | undefined> {
  const reached = await checking('node', violations, () => reach(node))
  if (reached?.node.maintenance)
    violations.push({ field: 'node', code: 'maintenance', message: `'${node}' is in maintenance` })
  if (resource_pool !== undefined)
    await checking('resource_pool', violations, () => call(resourcePools, 'get', { id: resource_pool }))
  return reached
}

/** Settings of the first container, as far as the engine of the new one has them. */
function settingsOf(saved: SavedContainer, runtime: Runtime, differ: Differ) {
  const policy = { value: saved.restart_policy, none: 'no' as const }
  return {
    labels: withoutProject(saved.labels),
    memory: saved.memory,
    cpus: saved.cpus,
    pids: saved.pids,
    restart_policy: fieldOf('restart_policy', runtime, policy, differ),
    health_check: fieldOf('health_check', runtime, { value: saved.health_check, none: null }, differ),
    privileged: fieldOf('privileged', runtime, { value: saved.privileged, none: false }, differ),
  }
}

/** Checks a new container that a backup becomes. @throws ValidationError with all violations */
export async function planNew(given: Given): Promise<Planned> {
  const saved = await savedFiles(given.backup_id)
  const { container } = saved
  const { id, name, node, runtime } = await identify(given, saved)
  const { base, hasVolumes } = rootFilesOf({ id, runtime })
  const violations: Violation[] = contradictions({ name, runtime })
  const differences: Foreseen['differences'] = []
  const differ: Differ = (field, backup, restored, reason) => {
    if (backup !== restored) differences.push({ field, backup, restored, reason })
  }
  const reached = await nodeOf(node, given, violations)
  differ('name', container.name, name, 'the name has to be free, and to fit the engine')
  differ('node', container.node, node, 'as asked for')
  differ('runtime', container.runtime, runtime, 'as asked for')
  differ('networks', listed(container.networks), 'that of a new container', 'a new container is connected to no other')
  const ports = await portsOf(container, runtime, node, differ)
  const mounting = { given, id, saved, takesVolumes: hasVolumes, reached }
  const { mounts, places, left_out } = await mountsOf(mounting, violations)
  for (const { target, volume } of places)
    if (volume !== null)
      differ(`mounts.${target}`, volume, newVolumeName(volume, id), 'a volume belongs to one container')
  const command = commandOf(given, container, runtime, base.kind === 'image', violations)
  const env = { ...container.env, ...given.env }
  const settings = settingsOf(container, runtime, differ)
  throwAll(violations)
  const definition = { id, name, node, image: null, rootfs: null, command, env, ports, mounts, ...settings }
  const missing_env = container.env_names.filter((one) => !(one in env))
  const foreseen = { container_id: id, name, node, runtime, ports, places, left_out, missing_env, differences }
  return { foreseen: { ...foreseen, needs_privilege: settings.privileged }, definition, runtime, saved }
}

/** The command of the new container; none: that of the image that is made with the settings of the first one. */
function commandOf(given: Given, saved: SavedContainer, runtime: Runtime, isOfImage: boolean, violations: Violation[]) {
  const lack = drivers[runtime].lacks.command
  if (given.command !== undefined && lack !== undefined)
    violations.push({ field: 'command', code: 'unsupported', message: lack })
  if (given.command !== undefined || lack !== undefined || !isOfImage) return given.command ?? []
  if (saved.settings && saved.settings.entrypoint.length + saved.settings.command.length > 0) return []
  const message = 'is required: the backup has no command that this engine could start, such as /sbin/init'
  violations.push({ field: 'command', code: 'required', message })
  return []
}
