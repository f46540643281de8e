import type { ContainerCreateOptions, ContainerInspectInfo, EndpointSettings, MountSettings } from 'dockerode'
import { isDeepStrictEqual } from 'node:util'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { DockerApi } from '#shared/nodes/docker/client.ts'
import { idLabel, type Ref } from '../driver.ts'
import type { Changes, Recreation } from '../parts.ts'
import { healthOf, mountsOf, publishingOf } from './definition.ts'
import { unlessGone } from './gone.ts'

/** The settings of an image that its containers begin with. */
type ImageConfig = Record<string, unknown> & { Env?: string[] | null; Labels?: Record<string, string> | null }

/** Keys of a container's configuration that come from its image unless they were given. */
const fromImage = [
  'Cmd',
  'Entrypoint',
  'WorkingDir',
  'User',
  'Volumes',
  'ExposedPorts',
  'Healthcheck',
  'StopSignal',
  'Shell',
]

/** Settings of a container without those that its image has given it: another image has others. */
export function ownConfig(config: ContainerInspectInfo['Config'], image: ImageConfig): Record<string, unknown> {
  // The engine's own object of settings.
  const given = config as unknown as Record<string, unknown> & ImageConfig
  const kept = Object.entries(given).filter(
    ([key, value]) => !(fromImage.includes(key) && isDeepStrictEqual(value ?? null, image[key] ?? null)),
  )
  return {
    ...Object.fromEntries(kept),
    Env: (given.Env ?? []).filter((line) => !image.Env?.includes(line)),
    Labels: Object.fromEntries(
      Object.entries(given.Labels ?? {}).filter(([key, value]) => image.Labels?.[key] !== value),
    ),
  }
}

/** The name of a volume that the engine has made for an image. */
const isAnonymous = (name: string | undefined) => /^[0-9a-f]{64}$/.test(name ?? '')

/** The mounts of a container, with its volumes by name; others that are wanted take their place. */
function mountsAgain({ Mounts, HostConfig }: ContainerInspectInfo, wanted: Changes['mounts']): MountSettings[] {
  const others = (HostConfig.Mounts ?? []).filter(({ Type }) => Type === 'tmpfs')
  const there = Mounts.flatMap(({ Type, Name, Source, Destination, RW, Propagation }): MountSettings[] => {
    if (Type !== 'volume' && Type !== 'bind') return []
    if (wanted && (!isAnonymous(Name) || wanted.some(({ target }) => target === Destination))) return []
    return [
      {
        Type,
        Source: (Type === 'volume' ? Name : Source) ?? '',
        Target: Destination,
        ReadOnly: !RW,
        // The engine checks the value, which is its own.
        ...(Type === 'bind' && Propagation && { BindOptions: { Propagation: Propagation as 'rprivate' } }),
      },
    ]
  })
  return [...there, ...mountsOf(wanted ?? []), ...others]
}

/** A container's places in networks: the first for its making, the others to be connected then. */
function endpointsOf({ NetworkSettings, Id, Config }: ContainerInspectInfo): [string, EndpointSettings][] {
  return Object.entries(NetworkSettings.Networks ?? {}).map(([name, there]) => {
    // Absent parts are null in an inspection, which is what a request means by it too.
    const { IPAMConfig, Links, Aliases, DriverOpts } = there as Partial<EndpointSettings>
    // The engine adds the short id of each container.
    const own = (Aliases ?? []).filter((alias) => !Id.startsWith(alias) && alias !== Config.Hostname)
    return [name, { IPAMConfig, Links, Aliases: own, DriverOpts } as EndpointSettings]
  })
}

const sharesNetwork = (mode = '') => mode === 'host' || mode === 'none' || mode.startsWith('container:')

/** Variables that Podman tells of every container, and gives to each one anew. */
export const variablesOfEngine = (old: ContainerInspectInfo) => [
  'container=podman',
  'TERM=xterm',
  'HOME=/root',
  `container_uuid=${old.Id.slice(0, 32)}`,
  `HOSTNAME=${old.Config.Hostname}`,
]

type HostConfig = ContainerInspectInfo['HostConfig']

/** The host settings of an inspection, in the words of a request: Podman has others there. */
export function hostAgain({ Ulimits, Runtime, CpuQuota, CpuPeriod, ...host }: HostConfig): HostConfig {
  const ulimits = (Ulimits ?? []) as { Name: string; Hard: number; Soft: number }[]
  const hasQuota = !host.NanoCpus && CpuQuota
  return {
    ...host,
    Ulimits: ulimits.map((limit) => ({ ...limit, Name: limit.Name.replace(/^RLIMIT_/, '').toLowerCase() })),
    ...(Runtime && Runtime !== 'oci' && { Runtime }),
    ...(hasQuota && { CpuQuota, ...(CpuPeriod !== undefined && { CpuPeriod }) }),
  }
}

type Again = { name: string; id: string; changes: Changes; image: ImageConfig }

/** The request that makes a container of the settings of another one. */
export function requestAgain(old: ContainerInspectInfo, { name, id, changes, image }: Again): ContainerCreateOptions {
  const { Hostname, MacAddress: _, StopTimeout, ...config } = ownConfig(old.Config, image) as Record<string, unknown>
  const variables = (config['Env'] as string[]).filter((line) => !variablesOfEngine(old).includes(line))
  const { env, labels, ports, command, restart_policy, health_check } = changes
  const mode = old.HostConfig.NetworkMode
  const [first] = sharesNetwork(mode) ? [] : endpointsOf(old)
  const hasOwnName = Hostname !== old.Id.slice(0, 12) && !sharesNetwork(mode)
  // A publishing that goes takes its ports away from those that the image's own come beside.
  const { ExposedPorts, PortBindings } = publishingOf(ports ?? [])
  return {
    ...config,
    Env: variables,
    ...(StopTimeout !== 0 && { StopTimeout: StopTimeout as number }),
    ...(hasOwnName && { Hostname: Hostname as string }),
    name,
    Image: changes.image ?? old.Config.Image,
    ...(command && { Cmd: command }),
    ...(env && { Env: Object.entries(env).map(([key, value]) => `${key}=${value}`) }),
    Labels: { ...(labels ?? (config['Labels'] as Record<string, string>)), [idLabel]: id },
    ...(ports && { ExposedPorts }),
    ...(health_check && { Healthcheck: healthOf(health_check) }),
    HostConfig: {
      ...hostAgain(old.HostConfig),
      Binds: [],
      VolumesFrom: [],
      Mounts: mountsAgain(old, changes.mounts),
      ...(ports && { PortBindings }),
      ...(restart_policy && { RestartPolicy: { Name: restart_policy } }),
    },
    ...(first && { NetworkingConfig: { EndpointsConfig: { [first[0]]: first[1] } } }),
  }
}

/**
 * The request that makes a copy of a container from an image of it: without ports, addresses and a name of its own in
 * networks, and with anonymous volumes of its own.
 */
export function copyRequest(
  source: ContainerInspectInfo,
  { id, name, image }: { id: string; name: string; image: string },
): ContainerCreateOptions {
  const changes = { image, ports: [] }
  const named = source.Mounts.filter((mount) => !isAnonymous(mount.Name))
  // The image has the settings of the container already.
  const request = requestAgain({ ...source, Mounts: named }, { name, id, changes, image: {} })
  const { NetworkingConfig: _, Hostname: __, ...own } = request
  return own
}

/** @param apiAt the API of the engine of a node */
export function dockerRecreation(apiAt: (node: string) => Promise<DockerApi>): Recreation {
  const inspect = async (api: DockerApi, id: string) => {
    const found = await unlessGone(api.ask((docker) => docker.getContainer(id).inspect()))
    if (!found) throw new NotFoundError(`${api.name} does not have the container '${id}' any more`)
    return found
  }
  const configOf = async (api: DockerApi, image: string): Promise<ImageConfig> => {
    const found = await unlessGone(api.ask((docker) => docker.getImage(image).inspect()))
    // The settings of an image and of a container have the same keys.
    return (found?.Config ?? {}) as unknown as ImageConfig
  }

  /** The container that a try before this one has made. */
  const findMade = async (api: DockerApi, old: Ref, name: string) => {
    const filters = { label: [`${idLabel}=${old.id}`] }
    const all = await api.ask((docker) => docker.listContainers({ all: true, filters }))
    return all.find(({ Id, Names }) => Id !== old.engine_id && Names.some((one) => one.replace(/^\//, '') === name))?.Id
  }

  const connect = async (api: DockerApi, id: string, endpoints: [string, EndpointSettings][]) => {
    const there = Object.keys((await inspect(api, id)).NetworkSettings.Networks ?? {})
    for (const [name, EndpointConfig] of endpoints) {
      if (there.includes(name)) continue
      await api.change((docker) => docker.getNetwork(name).connect({ Container: id, EndpointConfig }))
    }
  }

  return {
    check: async ({ node, engine_id, id }, { image, command }) => {
      const api = await apiAt(node)
      const old = await inspect(api, engine_id)
      if (old.HostConfig.AutoRemove)
        throw new ConflictError(`Container '${id}' is removed by its engine when it stops: it cannot be put back`)
      if (image === undefined || image === null) return []
      const found = await unlessGone(api.ask((docker) => docker.getImage(image).inspect()))
      if (!found)
        return [
          {
            field: 'image',
            code: 'not_found',
            message: `is not on the node: ${api.name} has no image '${image}'; pull or import it first`,
          },
        ]
      const given = ownConfig(old.Config, await configOf(api, old.Image))
      const own = [found.Config?.Entrypoint, found.Config?.Cmd, given['Entrypoint'], given['Cmd'], command].flat()
      return own.some((word) => typeof word === 'string')
        ? []
        : [{ field: 'command', code: 'required', message: `is required: the image '${image}' has none` }]
    },
    create: async (ref, name, changes) => {
      const api = await apiAt(ref.node)
      const old = await inspect(api, ref.engine_id)
      const made = await findMade(api, ref, name)
      const again = { name, id: ref.id, changes, image: await configOf(api, old.Image) }
      const id = made ?? (await api.change((docker) => docker.createContainer(requestAgain(old, again)))).id
      if (!sharesNetwork(old.HostConfig.NetworkMode)) await connect(api, id, endpointsOf(old))
      return id
    },
  }
}
