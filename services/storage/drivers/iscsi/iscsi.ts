import { randomUUID } from 'node:crypto'
import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import { ConflictError, invalid, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { secretObject } from '#shared/nodes/host/secret-files.ts'
import { type PoolDriver, unknownFigures, type VolumeDriver, type VolumeName } from '../driver.ts'
import { type Config, lunOf, nameOfUnit, portalOf, type Unit, unitsOf } from './units.ts'

const format = 'raw'

const sourceOf = ({ server, port, target, user, libvirt_uuid }: Config, lun: number): DiskSource => ({
  type: 'network',
  protocol: 'iscsi',
  name: `${target}/${lun}`,
  servers: [{ host: server.replace(/^\[(.*)\]$/, '$1'), port: port ?? 3260 }],
  ...(user !== null && { secret: { username: user, usage: 'iscsi', uuid: libvirt_uuid } }),
})

/** The unit of a volume; null when it is not there, or is another device. */
async function unitOf(host: Host, config: Config, { name }: VolumeName): Promise<Unit | null> {
  const lun = /^lun-\d+-/.test(name) ? lunOf(name) : null
  if (lun === null) return null
  return (await unitsOf(host, config, lun)).find((unit) => nameOfUnit(unit) === name) ?? null
}

async function requireUnit(host: Host, config: Config, volume: VolumeName): Promise<Unit> {
  const unit = await unitOf(host, config, volume)
  if (unit) return unit
  throw new NotFoundError(
    `Volume '${volume.name}' not found: ${config.target} at ${portalOf(config)} has no unit of that number and serial number`,
  )
}

const volumes: VolumeDriver<'iscsi'> = {
  exists: async (host, config, volume) => (await unitOf(host, config, volume)) !== null,
  sourceOn: async (_host, config, { name }) => sourceOf(config, lunOf(name)),

  toolFile(config, { name }, secretFile) {
    const { target, user, password } = config
    const file = {
      driver: 'iscsi',
      transport: 'tcp',
      portal: portalOf(config),
      target,
      lun: lunOf(name),
      timeout: 30,
      ...(user !== null && { user, 'password-secret': secretObject(secretFile) }),
    }
    return { path: `json:${JSON.stringify({ file })}`, secret: password }
  },

  async create(host, config, volume, { ifExists }) {
    const there = await unitOf(host, config, volume)
    if (there) return ifExists === 'accept' && there.size_bytes === volume.size_bytes
    throw new ConflictError(
      `Volumes of ${config.target} are units that its storage makes: make one there, then scan the storage pool`,
    )
  },

  async resize(host, config, volume) {
    const { size_bytes } = await requireUnit(host, config, volume)
    if (size_bytes === volume.size_bytes) return
    throw new ConflictError(
      `Unit ${lunOf(volume.name)} of ${config.target} has ${size_bytes} bytes: resize it at its storage first`,
    )
  },

  async activate(host, config, volume) {
    await requireUnit(host, config, volume)
  },

  async usage(host, config, volume) {
    const { size_bytes } = await requireUnit(host, config, volume)
    return { ...unknownFigures, logical_bytes: size_bytes, source: 'iscsi-readcapacity16' }
  },

  // The unit stays at its storage; a scan finds it again.
  delete: async () => undefined,

  async find(host, config, source) {
    if (source.type !== 'network' || source.protocol !== 'iscsi') return null
    const [, lun] = source.name.split(`${config.target}/`)
    const own = sourceOf(config, 0)
    const isOurs = own.type === 'network' && source.servers.some((each) => each.host === own.servers[0]!.host)
    if (!isOurs || lun === undefined || !/^\d{1,3}$/.test(lun)) return null
    const unit = (await unitsOf(host, config, Number(lun))).find((each) => each.lun === Number(lun))
    if (!unit) throw new NotFoundError(`${source.name} is not on ${portalOf(config)}`)
    return { name: nameOfUnit(unit), format, size_bytes: unit.size_bytes }
  },

  async list(host, config) {
    const units = await unitsOf(host, config)
    const found = units.map((unit) => ({
      name: nameOfUnit(unit),
      format: format as 'raw',
      size_bytes: unit.size_bytes,
    }))
    return { found, skipped: [] }
  },
}

/**
 * Volumes are the logical units of a target, which its storage makes and deletes. Guests and tools reach them through
 * libiscsi in QEMU, without an initiator of the node.
 */
export const iscsi: PoolDriver<'iscsi'> = {
  nodesOf: ({ nodes }) => nodes ?? null,
  placeOf: ({ server, port, target }) => `iscsi://${server.toLowerCase()}:${port ?? 3260}/${target}`,
  capabilitiesOf: () => ({
    formats: [format],
    default_format: null,
    snapshots: false,
    linked_clones: false,
    linked_clone_format: null,
    linked_clones_pinned: false,
    live_clones: false,
    send: false,
    shared: true,
    live_resize: false,
    objects: false,
  }),

  async prepare(_site, _id, given) {
    const { nodes = null, port = null, user = null, password, highest_lun = 31 } = given
    if ((user === null) !== (password === undefined))
      throw invalid(user === null ? 'user' : 'password', 'user and password are given together', 'required')
    return { ...given, nodes, port, user, highest_lun, libvirt_uuid: randomUUID() }
  },

  secretOf: ({ libvirt_uuid: id, user, target, password = '' }) => ({
    id,
    usage: 'iscsi',
    label: 'target',
    name: `Horcrux: ${user ?? 'nobody'} at ${target} (${id})`,
    secret: Buffer.from(password).toString('base64'),
  }),

  create: async (host, config) => (await iscsi.identify(host, config)) ?? '',

  /** The name of a target is its own in all the world; that it answers to it with this user is asked of its first unit. */
  async identify(host, config) {
    await unitsOf(host, config, 0)
    return `iscsi ${config.target}`
  },

  // The target belongs to its storage.
  remove: async () => undefined,

  async usage(host, config) {
    const units = await unitsOf(host, config)
    const logical_bytes = units.reduce((sum, { size_bytes }) => sum + size_bytes, 0)
    // Room for more units is known to the storage alone.
    const figures = { ...unknownFigures, logical_bytes, source: 'iscsi-readcapacity16' }
    return { capacity_bytes: logical_bytes, available_bytes: null, fills: [], figures }
  },

  volumes,
}
