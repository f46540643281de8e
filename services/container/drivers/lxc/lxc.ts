import { ConflictError, NotFoundError, type Violation } from '#shared/errors.ts'
import { lxcOf } from '#shared/nodes/lxc/engine.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { type ContainerEngine, type Definition, idLabel, type Listed, type Ref, type Seen } from '../driver.ts'
import { filesByTar } from '../files.ts'
import { limitsIn, mountsIn, parseConfig } from './config-file.ts'
import { attachConsole, exec } from './exec.ts'
import { exportRoot, lxcCopying, lxcSnapshots } from './copies.ts'
import { changeLimits } from './limits.ts'
import { readConsole } from './console.ts'
import { make, notesOf } from './make.ts'
import { lxcRootFiles } from './root-files.ts'
import { change, infoOf, type Named, pathOf } from '#shared/nodes/lxc/tools.ts'

const namedAt = async ({ node, engine_id }: Pick<Ref, 'node' | 'engine_id'>): Promise<Named> => {
  const reached = await reach(node)
  return { host: reached.host, folder: lxcOf(reached).folder, name: engine_id }
}

/** The containers of a folder: folders with a configuration. */
async function namesIn({ host }: Pick<Named, 'host'>, folder: string): Promise<string[]> {
  const all = await host.list(folder).catch((error: unknown) => {
    if (error instanceof NotFoundError) return []
    throw error
  })
  const found = all.map(async ({ name, kind }) =>
    kind === 'directory' && (await host.stat(`${folder}/${name}/config`)) ? [name] : [],
  )
  return (await Promise.all(found)).flat()
}

async function look(named: Named): Promise<Seen | null> {
  const { host, name } = named
  const path = pathOf(named)
  const config = await host.readFile(`${path}/config`).catch((error: unknown) => {
    if (error instanceof NotFoundError) return null
    throw error
  })
  const info = config && (await infoOf(named))
  if (!info) return null
  const entries = parseConfig(config.toString('utf8'))
  const notes = await notesOf(host, path)
  const valuesOf = (key: string) => entries.filter(([one]) => one === key).map(([, value]) => value)
  const environment = valuesOf('lxc.environment').map((line): [string, string] => {
    const at = line.indexOf('=')
    return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)]
  })
  const [address = null] = info.addresses
  return {
    name,
    engine_id: name,
    image: null,
    command: [],
    env: Object.fromEntries(environment),
    labels: { ...notes?.labels, ...(notes && { [idLabel]: notes.id }) },
    ...limitsIn(entries),
    mounts: mountsIn(entries),
    ports: [],
    networks: address === null ? [] : [{ name: valuesOf('lxc.net.0.link')[0] ?? 'eth0', address, mac: null }],
    pid: info.pid,
    restart_policy: valuesOf('lxc.start.auto')[0] === '1' ? 'always' : 'no',
    health_check: null,
    health: null,
    privileged: valuesOf('lxc.idmap').length === 0,
    status: info.status,
    status_reason: null,
    exit_code: null,
    created_at:
      notes?.created_at ?? (await host.stat(`${path}/config`))?.modifiedAt.toISOString() ?? new Date().toISOString(),
  }
}

const unsupported: ContainerEngine['lacks'] = {
  image: 'this engine makes containers from an archive of a root file system: give rootfs',
  command: 'this engine starts the init of the root file system',
  ports: 'this engine publishes no ports',
  privileged: 'is not made by this engine: its archive is unpacked with the users of the container',
  restart_policy: 'this engine restarts no container that has ended',
  health_check: 'this engine checks no health',
}

/** Violations of values that LXC's configuration cannot hold. */
function unwritable({ env, mounts, rootfs }: Definition): Violation[] {
  const lines = Object.entries(env).flatMap(([key, value]) =>
    /[\n\r]/.test(value)
      ? [{ field: `env.${key}`, code: 'invalid', message: "must be one line: LXC's configuration holds no other" }]
      : [],
  )
  const volumes = mounts.flatMap(({ type }, index) =>
    type === 'volume'
      ? [
          {
            field: `mounts.${index}.type`,
            code: 'unsupported',
            message: 'this engine keeps no volumes: mount a folder',
          },
        ]
      : [],
  )
  return [
    ...lines,
    ...volumes,
    ...(rootfs === null ? [{ field: 'rootfs', code: 'required', message: 'is required' }] : []),
  ]
}

async function stop(ref: Ref, graceSeconds: number): Promise<void> {
  const named = await namedAt(ref)
  const info = await infoOf(named)
  if (!info || info.status === 'stopped') return
  // The kill of a frozen container waits until it runs on.
  if (info.status === 'paused') await change(named, 'lxc-unfreeze')
  const how = graceSeconds > 0 ? [`--timeout=${graceSeconds}`] : ['--kill']
  await change(named, 'lxc-stop', how, (graceSeconds + 30) * 1000).catch(async (error: unknown) => {
    if (!(error instanceof ConflictError) || (await infoOf(named))?.status !== 'stopped') throw error
  })
}

/** LXC by its tools. A container's own id is its name in LXC's folder. */
export const lxc: ContainerEngine = {
  engineOf: lxcOf,
  usersAreNumbers: true,
  lacks: unsupported,
  nameRule: {
    pattern: /^[A-Za-z0-9][A-Za-z0-9_.-]*$/,
    message: 'must be letters, digits, _ . and -, and begin with a letter or digit',
  },
  check: async ({ host }, definition) => {
    const violations = unwritable(definition)
    const archive = definition.rootfs === null ? null : await host.stat(definition.rootfs)
    if (archive && archive.kind !== 'file')
      violations.push({ field: 'rootfs', code: 'invalid', message: 'must be a tar archive' })
    return violations
  },
  list: async (reached) => {
    const { folder } = lxcOf(reached)
    const found = (await namesIn(reached, folder)).map(async (name): Promise<Listed[]> => {
      const named = { host: reached.host, folder, name }
      const [info, notes] = await Promise.all([infoOf(named), notesOf(reached.host, pathOf(named))])
      const labels = { ...notes?.labels, ...(notes && { [idLabel]: notes.id }) }
      return info ? [{ engine_id: name, name, status: info.status, labels }] : []
    })
    return (await Promise.all(found)).flat()
  },
  look: async (ref) => look(await namedAt(ref)),
  create: async (definition) => {
    const reached = await reach(definition.node)
    await make(reached.host, lxcOf(reached).folder, definition)
    return definition.name
  },
  remove: async (ref) => {
    await stop(ref, 0)
    const named = await namedAt(ref)
    const path = pathOf(named)
    if ((await named.host.stat(path)) === null) return
    await requireCurrent()
    await named.host.remove(`${path}/snaps`, { recursive: true })
    if (await named.host.stat(`${path}/config`)) await change(named, 'lxc-destroy', ['--force'])
    await requireCurrent()
    await named.host.remove(path, { recursive: true })
  },
  start: async (ref) => {
    const named = await namedAt(ref)
    const info = await infoOf(named)
    if (!info) throw new NotFoundError(`LXC on node '${ref.node}' has no container '${ref.engine_id}'`)
    if (info.status === 'stopped')
      await change(named, 'lxc-start', ['--daemon', `--logfile=${pathOf(named)}/start.log`])
  },
  stop: (ref, { graceSeconds }) => stop(ref, graceSeconds),
  pause: async (ref) => {
    const named = await namedAt(ref)
    if ((await infoOf(named))?.status === 'running') await change(named, 'lxc-freeze')
  },
  resume: async (ref) => {
    const named = await namedAt(ref)
    if ((await infoOf(named))?.status === 'paused') await change(named, 'lxc-unfreeze')
  },
  logs: {
    kind: 'console',
    read: async (ref, from, maxBytes) => readConsole(await namedAt(ref), from, maxBytes),
  },
  limits: {
    change: async (ref, wanted) => changeLimits(await namedAt(ref), wanted),
    keeps: [],
    areForgotten: false,
  },
  snapshots: lxcSnapshots(namedAt),
  copying: lxcCopying(namedAt),
  rootFiles: lxcRootFiles(namedAt),
  exec: async (ref, what) => exec(await namedAt(ref), what),
  files: filesByTar(async (ref: Ref, what) => exec(await namedAt(ref), what)),
  export: async (ref) => exportRoot(await namedAt(ref)),
  attach: async (ref, hasInput) => attachConsole(await namedAt(ref), hasInput),
  events: (reached: Reached, listener) =>
    lxcOf(reached).events((event) =>
      listener(event.kind === 'object' ? { kind: 'container', engineId: event.id, change: event.change } : event),
    ),
}
