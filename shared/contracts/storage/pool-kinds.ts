import { type Static, type TObject, type TProperties, type TUnsafe, Type } from 'typebox'
import { Id, Path, strict } from '#shared/contracts/common.ts'
import { cifs, GivenNodes, glusterfs, iscsi, KeptNodes, nfs, s3 } from '#shared/contracts/storage/server-kinds.ts'

const SharedWith = Type.Optional(
  Type.Array(Id, {
    maxItems: 1000,
    uniqueItems: true,
    description:
      'Further nodes that have the same folder at the same path, such as of a cluster file system that they mount themselves',
  }),
)

/** Image files in a folder of one node, or of several that see the same one. */
const dir = {
  given: { node: Type.String({ ...Id, default: 'local' }), path: Type.Optional(Path), shared_with: SharedWith },
  config: { node: Id, path: Path, shared_with: SharedWith },
  secrets: {},
}

/** A host name or an address; a port may follow, and an IPv6 address with one is in brackets. */
const Server = Type.String({
  examples: ['10.0.0.7:6789'],
  pattern: '^(\\[[0-9A-Fa-f:.]{2,45}\\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})(:[0-9]{1,5})?$',
  errorMessage: 'must be a host name or an address, such as 10.0.0.7, [fd00::7] or store.lan:6789',
})

const CephName = Type.String({
  examples: ['vms'],
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
  examples: ['tank/vms'],
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
  examples: ['vg0'],
  pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$',
  errorMessage: 'must be a name of LVM: letters, digits, . _ and -, at most 63',
})

/** Thin volumes of LVM in a volume group of one node. */
const lvm = {
  given: {
    node: Type.String({ ...Id, default: 'local' }),
    volume_group: Type.String({ ...LvmName, description: 'A volume group that is there' }),
    thin_pool: Type.String({ ...LvmName, examples: ['thin0'] }),
    size: Type.Optional(
      Type.Integer({
        minimum: 2 ** 26,
        'x-unit': 'bytes',
        description: 'Bytes of the thin pool, when it is not there and has to be made',
      }),
    ),
  },
  config: {
    node: Id,
    volume_group: LvmName,
    thin_pool: LvmName,
    size: Type.Optional(Type.Integer({ 'x-unit': 'bytes' })),
  },
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
export const poolKinds = { dir, zfs, lvm, btrfs, ceph, nfs, cifs, iscsi, glusterfs, s3 }

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
  hints: { 'x-columns'?: readonly (keyof Branch<K, P, C> & string)[] } = {},
): TUnsafe<Branch<K, P, C>> =>
  Type.Union(
    Object.entries(kinds).map(([type, kind]) => strict({ ...common, type: Type.Literal(type), ...kind[part] })),
    hints,
    // TypeBox infers no union from a list of unknown length.
  ) as unknown as TUnsafe<Branch<K, P, C>>
