/** Storage pools in a file system that a node mounts over the network. Their volumes are files, as those in a folder. */
import { dirname } from 'node:path'
import type { PoolConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { ConflictError, invalid, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { allowedPath, onNamedPath } from '#shared/nodes/host/allowed-path.ts'
import { missingProgram } from '#shared/nodes/host/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { withSecretFiles } from '#shared/nodes/host/secret-files.ts'
import { imageAt } from '../../images/image-at.ts'
import { fileObjects, isWithoutObjects, objectFolder } from '../dir/file-objects.ts'
import { fileVolumes } from '../dir/file-volumes.ts'
import { type PoolDriver, type Site, unknownFigures } from '../driver.ts'
import { createMarker, markerName, readMarker } from '../marker.ts'
import { encodePath, mountedAt, mountOf, mountsOf } from '#shared/nodes/host/mount-table.ts'

/** The mount of a storage pool. */
export type Mount = {
  /** Name of the file system in the table of the kernel, such as `server:/folder`. */
  source: string
  /** Its folder on every node. */
  path: string
  /** The words of mount(8) for it: type and options, without secrets. */
  options: string[]
  /** Content of the first secret file. */
  secret?: string
}

type Kind<K extends PoolType> = {
  /** The program behind mount(8) that knows the file system. */
  program: string
  /** The kernel's names of the file system. */
  types: string[]
  mountOf: (config: PoolConfig<K>) => Mount
}

/** Checks the folder for the mount on the nodes; one of Horcrux's own if none is given. @throws ValidationError */
export const mountFolder = async ({ host, folders }: Site, id: string, given?: string): Promise<string> =>
  allowedPath(host, given ?? `${folders.state_dir}/mounts/${id}`, folders, 'path')

/** Milliseconds in which mount(8) ends, or its server does not answer. */
const mountMs = 25_000

/**
 * Mounts unless it is mounted: two replicas that try at once would mount twice, one over the other, so a lock on the parent
 * folder is held. `$1`: the folder as the kernel lists it.
 */
const mountOnce = 'grep -qF " $1 " /proc/self/mountinfo && exit 0; shift; exec "$@"'

/** Messages of the mount programs about a server that is away. */
const unreachable =
  /timed out|No route|refused|Host is down|unreachable|could not resolve|not known|in progress|not ready|failed to connect/i

export function mountedPool<K extends PoolType>({ program, types, mountOf: describe }: Kind<K>) {
  /** True when it is mounted; false when nothing is. @throws ConflictError when something else is */
  async function isMounted(host: Host, config: PoolConfig<K>): Promise<boolean> {
    const { path, source } = describe(config)
    const there = mountedAt(await mountsOf(host), path)
    if (!there) return false
    if (types.includes(there.type) && there.source === source) return true
    throw new ConflictError(`${path} on ${host.describe()} has ${there.source} (${there.type}) mounted, not ${source}`)
  }

  const requireMounted = async (host: Host, config: PoolConfig<K>): Promise<void> => {
    if (await isMounted(host, config)) return
    const { path, source } = describe(config)
    throw new NotFoundError(`Storage pool at ${source} not found: it is not mounted at ${path} on ${host.describe()}`)
  }

  /** Makes the folder of the mount. With the attribute, nothing can be written to it while nothing is mounted. */
  async function makeFolder(host: Host, path: string): Promise<void> {
    await onNamedPath('path', async () => {
      const there = await host.stat(path)
      if (there && there.kind !== 'directory') throw invalid('path', `is a ${there.kind}, not a folder`, 'path')
      if (there && (await host.list(path)).length > 0)
        throw invalid('path', `${path} on ${host.describe()} is not empty: the mount would hide its files`, 'path')
      if (!there) await host.mkdir(path, { mode: 0o711 })
    })
    // Some file systems lack the attribute; the marker is verified before each write anyhow.
    await host.run('chattr', ['+i', '--', path])
  }

  async function activate(host: Host, config: PoolConfig<K>): Promise<void> {
    if (await isMounted(host, config)) return
    const { path, source, options, secret } = describe(config)
    if (!(await host.which(program))) throw missingProgram(program, host.describe())
    await makeFolder(host, path)
    const mount = ['mount', ...options, '--', source, path]
    // -o: a file system in user space stays, and would keep the lock.
    const words = ['-o', '-w', '20', dirname(path), 'sh', '-c', mountOnce, 'sh', encodePath(path), ...mount]
    const { code, stderr } = await withSecretFiles(host, 'flock', words, secret === undefined ? [] : [secret], {
      timeoutMs: mountMs,
    })
    if (code === 0) return requireMounted(host, config)
    const said = `${source} cannot be mounted on ${host.describe()}: ${stderr.trim().split('\n')[0] || `mount ends with code ${code}`}`
    if (/No such (file|device)|does not exist|bad network name/i.test(stderr)) throw new NotFoundError(said)
    throw unreachable.test(stderr) ? new UnavailableError(said) : new ConflictError(said)
  }

  async function deactivate(host: Host, config: PoolConfig<K>): Promise<void> {
    const { path } = describe(config)
    if (await isMounted(host, config)) {
      const { code, stderr } = await host.run('umount', ['--', path])
      if (code !== 0 && !/not mounted/.test(stderr))
        throw new ConflictError(`${path} on ${host.describe()} cannot be unmounted: ${stderr.trim()}`)
    }
    await host.run('chattr', ['-i', '--', path])
    // One with files in it stays.
    await host.run('rmdir', ['--', path])
  }

  return {
    activate,
    deactivate,

    async create(host, config) {
      await activate(host, config)
      try {
        return await createMarker(host, describe(config).path)
      } catch (error) {
        await deactivate(host, config).catch(() => undefined)
        throw error
      }
    },

    async identify(host, config) {
      await requireMounted(host, config)
      return readMarker(host, describe(config).path)
    },

    async remove(host, config) {
      const { path } = describe(config)
      if (!(await isMounted(host, config))) return
      const files = await host.list(path)
      if (files.some(({ name }) => name !== markerName && name !== objectFolder)) return
      if (!(await isWithoutObjects(host, path))) return
      for (const { name } of files) await host.remove(`${path}/${name}`, { recursive: true })
      await deactivate(host, config)
    },

    async usage(host, config) {
      await requireMounted(host, config)
      const { totalBytes: capacity_bytes, freeBytes: available_bytes } = await host.space(describe(config).path)
      return {
        capacity_bytes,
        available_bytes,
        fills: [{ name: 'space', capacity_bytes, available_bytes }],
        // The file system may hold more than the storage pool.
        figures: { ...unknownFigures, source: 'statfs' },
      }
    },

    async detect(host, path) {
      const there = mountOf(await mountsOf(host), path)
      return there && types.includes(there.type) ? imageAt(host, path) : null
    },

    volumes: fileVolumes((config) => describe(config).path),
    objects: fileObjects((config) => describe(config).path),
  } satisfies Partial<PoolDriver<K>>
}

/** Capabilities of a file system on a server of any kind. */
export const mountedCapabilities = {
  formats: ['qcow2' as const, 'raw' as const],
  default_format: 'qcow2' as const,
  snapshots: true,
  linked_clones: true,
  linked_clone_format: 'qcow2' as const,
  linked_clones_pinned: true,
  live_clones: true,
  send: false,
  shared: true,
  live_resize: true,
  objects: true,
}
