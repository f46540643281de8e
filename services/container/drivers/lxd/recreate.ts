import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import { idLabel, type Ref } from '../driver.ts'
import type { Changes, Recreation } from '../parts.ts'
import { instancePath, named } from './find.ts'
import { fingerprintOf } from './images.ts'
import { type Device, type Instance, labelsOf, uuidOf, wantedOf } from './instance.ts'

/** Keys that the engine keeps for one instance alone, or copies from its image. */
const isEngines = (key: string) => key.startsWith('volatile.') || key.startsWith('image.')

/** The devices that Horcrux makes of the mounts and ports of a container. */
const isMount = ({ type, path }: Device) => type === 'disk' && path !== '/'
const isPort = ({ type }: Device) => type === 'proxy'

/** An instance's own settings, with the changes. */
export function settingsAgain(
  { config, devices }: Pick<Instance, 'config' | 'devices'>,
  id: string,
  changes: Changes,
  pool: string,
): { config: Record<string, string>; devices: Record<string, Device> } {
  const { env, labels, mounts, ports } = changes
  const isReplaced = (key: string) =>
    (env !== undefined && key.startsWith('environment.')) || (labels !== undefined && key.startsWith('user.'))
  const kept = Object.entries(config).filter(([key]) => !isEngines(key) && !isReplaced(key))
  const keptDevices = Object.entries(devices).filter(
    ([, device]) => !(mounts && isMount(device)) && !(ports && isPort(device)),
  )
  const made = wantedOf(
    {
      id,
      env: env ?? {},
      labels: labels ?? {},
      memory: null,
      cpus: null,
      pids: null,
      mounts: mounts ?? [],
      ports: ports ?? [],
    },
    pool,
  )
  const { root, ...madeDevices } = made.devices
  return {
    config: { ...Object.fromEntries(kept), ...made.config },
    devices: { ...(root && { root }), ...Object.fromEntries(keptDevices), ...madeDevices },
  }
}

type Parts = {
  apiAt: (node: string) => Promise<Api>
  find: (api: Api, uuid: string) => Promise<Instance | null>
  remember: (instances: Instance[]) => void
  poolOf: (api: Api) => Promise<string | null>
}

/** Without another image the root file system is copied; with one, the container begins with that of the image. */
export function lxdRecreation({ apiAt, find, remember, poolOf }: Parts): Recreation {
  const need = async (api: Api, { engine_id }: Pick<Ref, 'engine_id'>): Promise<Instance> => {
    const found = await find(api, engine_id)
    if (!found) throw new NotFoundError(`${api.name} does not have the container '${engine_id}' any more`)
    return found
  }
  const sourceOf = async (api: Api, old: Instance, image: Changes['image']): Promise<object> => {
    if (image === undefined || image === null) return { type: 'copy', source: old.name, instance_only: true }
    const fingerprint = await fingerprintOf(api, image)
    if (fingerprint === null) throw new NotFoundError(`${api.name} does not have the image '${image}' any more`)
    return { type: 'image', fingerprint }
  }

  return {
    check: async (ref, { image }) => {
      const api = await apiAt(ref.node)
      const old = await need(api, ref)
      if (old.ephemeral)
        throw new ConflictError(`Container '${ref.id}' is removed by its engine when it stops: it cannot be put back`)
      if (image === undefined || image === null || (await fingerprintOf(api, image)) !== null) return []
      const message = `is not on the node: ${api.name} has no image '${image}'; import it first`
      return [{ field: 'image', code: 'not_found', message }]
    },
    create: async (ref, name, changes) => {
      const api = await apiAt(ref.node)
      const old = await need(api, ref)
      const root = Object.values(old.expanded_devices).find(({ type, path }) => type === 'disk' && path === '/')
      const pool = root?.['pool'] ?? (await poolOf(api)) ?? ''
      const settings = settingsAgain(old, ref.id, changes, pool)
      const { profiles } = old
      const there = await named(api, name)
      if (there && (labelsOf(there)[idLabel] !== ref.id || uuidOf(there) === ref.engine_id))
        throw new ConflictError(`${api.name} has another container '${name}' by now`)
      if (!there) {
        const source = await sourceOf(api, old, changes.image)
        await api.send('POST', '/1.0/instances', { name, type: 'container', source, profiles, ...settings })
      }
      const made = await named(api, name)
      if (!made) throw new NotFoundError(`${api.name} does not have the container '${name}' that it has made`)
      // A copy has the settings of its source too: those that are to go are taken away.
      const own = Object.fromEntries(Object.entries(made.config).filter(([key]) => isEngines(key)))
      const { architecture } = made
      await api.send('PUT', instancePath(name), {
        architecture,
        profiles,
        ...settings,
        config: { ...own, ...settings.config },
      })
      remember([made])
      return uuidOf(made)
    },
  }
}
