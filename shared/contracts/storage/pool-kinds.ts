import { type Static, type TObject, type TProperties, type TUnsafe, Type } from 'typebox'
import { Id, oneOf, Path, strict } from '#shared/contracts/common.ts'

/** Image files in a folder of one node. */
const dir = {
  given: { node: Type.String({ ...Id, default: 'local' }), path: Type.Optional(Path) },
  config: { node: Id, path: Path },
  secrets: {},
}

/** A host name or an address; a port may follow, and an IPv6 address with one is in brackets. */
const Server = Type.String({
  pattern: '^(\\[[0-9A-Fa-f:.]{2,45}\\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})(:[0-9]{1,5})?$',
  errorMessage: 'must be a host name or an address, such as 10.0.0.7, [fd00::7] or store.lan:6789',
})

/** As above, without a port. */
const HostName = Type.String({
  pattern: '^(\\[[0-9A-Fa-f:.]{2,45}\\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})$',
  errorMessage: 'must be a host name or an address, such as 10.0.0.7, [fd00::7] or store.lan',
})
const Port = Type.Integer({ minimum: 1, maximum: 65_535 })
const KeptPort = Type.Union([Port, Type.Null()], { description: "null: the protocol's own" })

/** Nodes that reach a shared storage pool. */
const Nodes = Type.Array(Id, { minItems: 1, maxItems: 1000, uniqueItems: true })
const GivenNodes = Type.Optional(Type.Array(Id, { ...Nodes, description: 'The nodes that reach it; all if not given' }))
const KeptNodes = Type.Union([Nodes, Type.Null()])

const Timeout = Type.Integer({
  minimum: 10,
  maximum: 1800,
  description: 'Reads and writes fail when the server has not answered for so long',
})
const MountPath = Type.Optional(
  Type.String({ ...Path, description: 'Where the nodes mount it; a folder of Horcrux itself if not given' }),
)

const Export = Type.String({
  // A folder as the server names it: no part leads upwards.
  pattern: '^/(?!.*(^|/)\\.{1,2}(/|$))[^\\u0000-\\u0020\\u007f:,\\\\]*$',
  maxLength: 1024,
  description: 'Folder that the server exports, such as `/srv/vms`',
  errorMessage: 'must be an absolute path without . and .., spaces, colons, commas and backslashes',
})

/** Image files in an export of an NFS server, which the nodes mount. Version 3 needs a lock daemon, so it is not used. */
const nfs = {
  given: {
    nodes: GivenNodes,
    server: HostName,
    port: Type.Optional(Port),
    export: Export,
    version: Type.Optional(oneOf('4.0', '4.1', '4.2')),
    timeout_seconds: Type.Optional(Timeout),
    path: MountPath,
  },
  config: {
    nodes: KeptNodes,
    server: HostName,
    port: KeptPort,
    export: Export,
    version: Type.Union([oneOf('4.0', '4.1', '4.2'), Type.Null()], { description: 'null: the newest of both sides' }),
    timeout_seconds: Timeout,
    path: Path,
  },
  secrets: {},
}

const Share = Type.String({
  pattern: '^[A-Za-z0-9_][A-Za-z0-9_.$-]{0,79}$',
  description: 'Name of the share',
  errorMessage: 'must have only letters, digits, _, ., $ and -, at most 80',
})
const ShareFolder = Type.String({
  pattern: '^(?!.*(^|/)\\.{1,2}(/|$))[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$',
  maxLength: 200,
  description: 'Folder in the share, which is there; the share itself if not given',
  errorMessage: 'must be names of letters, digits, _, . and -, separated by /, without . and ..',
})
const Account = Type.String({
  pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,103}$',
  errorMessage: 'must have only letters, digits, _, . and -, at most 104',
})

const Owner = Type.String({
  pattern: '^[a-z_][a-z0-9_-]{0,31}$',
  description: 'User of the nodes to whom the files belong, since a share keeps no owners: that of QEMU; default root',
  errorMessage: 'must be the name of a user: lower-case letters, digits, _ and -, at most 32',
})

/** Image files in a share of an SMB server, which the nodes mount. */
const cifs = {
  given: {
    nodes: GivenNodes,
    server: HostName,
    port: Type.Optional(Port),
    share: Share,
    folder: Type.Optional(ShareFolder),
    user: Account,
    domain: Type.Optional(Account),
    owner: Type.Optional(Owner),
    version: Type.Optional(oneOf('3.0', '3.1.1')),
    timeout_seconds: Type.Optional(Timeout),
    path: MountPath,
  },
  config: {
    nodes: KeptNodes,
    server: HostName,
    port: KeptPort,
    share: Share,
    folder: Type.Union([ShareFolder, Type.Null()]),
    user: Account,
    domain: Type.Union([Account, Type.Null()]),
    owner: Owner,
    version: Type.Union([oneOf('3.0', '3.1.1'), Type.Null()], { description: 'null: the newest of both sides' }),
    timeout_seconds: Timeout,
    path: Path,
  },
  secrets: {
    password: Type.String({
      pattern: '^[^\\u0000-\\u001f\\u007f]+$',
      maxLength: 128,
      errorMessage: 'must have no control characters, and at most 128 characters',
    }),
  },
}

const Target = Type.String({
  pattern: '^(iqn\\.[0-9]{4}-[0-9]{2}\\.[A-Za-z0-9.-]+(:[A-Za-z0-9:._-]+)?|(eui|naa)\\.[0-9A-Fa-f]{16,32})$',
  maxLength: 223,
  description: 'Name of the target, such as `iqn.2026-11.lan.store:vms`',
  errorMessage: 'must be an iSCSI name: iqn.<year>-<month>.<domain>:<name>, eui. or naa.',
})
const HighestLun = Type.Integer({ minimum: 0, maximum: 255, description: 'Units up to this number are looked for' })

/** Logical units of an iSCSI target, through libiscsi in QEMU: the node needs no initiator. */
const iscsi = {
  given: {
    nodes: GivenNodes,
    server: HostName,
    port: Type.Optional(Port),
    target: Target,
    user: Type.Optional(Type.String({ ...Account, description: 'For CHAP, with `password`' })),
    highest_lun: Type.Optional(Type.Integer({ ...HighestLun, default: 31 })),
  },
  config: {
    nodes: KeptNodes,
    server: HostName,
    port: KeptPort,
    target: Target,
    user: Type.Union([Account, Type.Null()]),
    highest_lun: HighestLun,
    libvirt_uuid: Type.String({ format: 'uuid', description: 'Its secret in libvirt' }),
  },
  secrets: {
    password: Type.Optional(
      Type.String({
        pattern: '^[\\u0021-\\u007e]+$',
        maxLength: 128,
        errorMessage: 'must have only printable characters of ASCII, at most 128',
      }),
    ),
  },
}

const CephName = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$',
  errorMessage: 'must have only letters, digits, . _ and -, at most 128, and begin with a letter or digit',
})

/** RBD images in a pool of a Ceph cluster, through librbd: no kernel driver is needed. */
const ceph = {
  given: {
    nodes: GivenNodes,
    monitors: Type.Array(Server, { minItems: 1, maxItems: 16, uniqueItems: true }),
    pool: CephName,
    user: Type.String({ ...CephName, description: 'Name of the client without `client.`' }),
  },
  config: {
    nodes: KeptNodes,
    monitors: Type.Array(Server),
    pool: CephName,
    user: CephName,
    libvirt_uuid: Type.String({ format: 'uuid', description: 'Its secret in libvirt' }),
  },
  secrets: {
    key: Type.String({
      pattern: '^[A-Za-z0-9+/]{38,}={0,2}$',
      maxLength: 256,
      errorMessage: 'must be a key of cephx in Base64, as `ceph auth get-key` prints it',
    }),
  },
}

const Dataset = Type.String({
  pattern: '^[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$',
  maxLength: 100,
  description: 'Dataset of ZFS, such as `tank/vms`; made if it is not there',
  errorMessage: 'must be the name of a dataset: parts of letters, digits, . _ and -, separated by /',
})

/** Volumes of ZFS below a dataset of one node. */
const zfs = {
  given: {
    node: Type.String({ ...Id, default: 'local' }),
    dataset: Dataset,
    thin: Type.Optional(Type.Boolean({ description: 'Volumes take space when it is written; default true' })),
  },
  config: { node: Id, dataset: Dataset, thin: Type.Boolean() },
  secrets: {},
}

const LvmName = Type.String({
  pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$',
  errorMessage: 'must be a name of LVM: letters, digits, . _ and -, at most 63',
})

/** Thin volumes of LVM in a volume group of one node. */
const lvm = {
  given: {
    node: Type.String({ ...Id, default: 'local' }),
    volume_group: Type.String({ ...LvmName, description: 'A volume group that is there' }),
    thin_pool: LvmName,
    size: Type.Optional(
      Type.Integer({
        minimum: 2 ** 26,
        description: 'Bytes of the thin pool, when it is not there and has to be made',
      }),
    ),
  },
  config: { node: Id, volume_group: LvmName, thin_pool: LvmName, size: Type.Optional(Type.Integer()) },
  secrets: {},
}

/** Subvolumes in a folder on Btrfs of one node. */
const btrfs = {
  given: { node: Type.String({ ...Id, default: 'local' }), path: Path },
  config: { node: Id, path: Path },
  secrets: {},
}

/**
 * The kinds of storage pools. `config` has the fields of a pool that only its kind has; `given` has them as a request
 * to create one, where the driver fills in what is left out. `secrets` are further fields of the request. They are
 * stored encrypted, and no answer has them.
 */
export const poolKinds = { dir, zfs, lvm, btrfs, ceph, nfs, cifs, iscsi }

/** Names of the secret fields of all kinds. */
export const poolSecrets: string[] = Object.values(poolKinds).flatMap(({ secrets }) => Object.keys(secrets))

type Kinds = typeof poolKinds
export type PoolType = keyof Kinds
type Branch<K extends Record<string, Record<P, TProperties>>, P extends string, C extends TProperties> = {
  [T in keyof K & string]: Static<TObject<C>> & { type: T } & Static<TObject<K[T][P]>>
}[keyof K & string]

/** The configuration of a storage pool, as its record and answers have it. */
export type ShownConfig<K extends PoolType = PoolType> = { [T in K]: Static<TObject<Kinds[T]['config']>> }[K]
/** The secret fields of a storage pool. */
export type PoolSecrets<K extends PoolType = PoolType> = { [T in K]: Static<TObject<Kinds[T]['secrets']>> }[K]
/** The configuration with the secrets, as its driver gets it. */
export type PoolConfig<K extends PoolType = PoolType> = {
  [T in K]: Static<TObject<Kinds[T]['config']>> & Static<TObject<Kinds[T]['secrets']>>
}[K]
/** The configuration as a caller asks for it. */
export type GivenConfig<K extends PoolType = PoolType> = {
  [T in K]: Static<TObject<Kinds[T]['given']>> & Static<TObject<Kinds[T]['secrets']>>
}[K]

/** The kinds with the secrets among the fields of a request. */
const withSecrets = <K extends Record<string, { given: TProperties; secrets: TProperties }>>(
  kinds: K,
): { [T in keyof K]: { given: K[T]['given'] & K[T]['secrets'] } } =>
  // Each entry is made from the one of its name.
  Object.fromEntries(
    Object.entries(kinds).map(([type, { given, secrets }]) => [type, { given: { ...given, ...secrets } }]),
  ) as { [T in keyof K]: { given: K[T]['given'] & K[T]['secrets'] } }

/** The parts of a request to create a storage pool, for {@link byKind}. */
export const requestedKinds = withSecrets(poolKinds)

/** A union with one branch per kind: the common fields, `type`, and those of the kind. */
export const byKind = <K extends Record<string, Record<P, TProperties>>, P extends string, C extends TProperties>(
  kinds: K,
  part: P,
  common: C,
): TUnsafe<Branch<K, P, C>> =>
  Type.Union(
    Object.entries(kinds).map(([type, kind]) => strict({ ...common, type: Type.Literal(type), ...kind[part] })),
    // TypeBox infers no union from a list of unknown length.
  ) as unknown as TUnsafe<Branch<K, P, C>>
