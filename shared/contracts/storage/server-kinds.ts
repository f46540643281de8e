import { Type } from 'typebox'
import { Id, oneOf, Path } from '#shared/contracts/common.ts'

/** A host name or an address, without a port. */
const HostName = Type.String({
  examples: ['store.lan'],
  pattern: '^(\\[[0-9A-Fa-f:.]{2,45}\\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})$',
  errorMessage: 'must be a host name or an address, such as 10.0.0.7, [fd00::7] or store.lan',
})
const Port = Type.Integer({ minimum: 1, maximum: 65_535 })
const KeptPort = Type.Union([Port, Type.Null()], { description: "null: the protocol's own" })

/** Nodes that reach a shared storage pool. */
const Nodes = Type.Array(Id, { minItems: 1, maxItems: 1000, uniqueItems: true })
export const GivenNodes = Type.Optional(
  Type.Array(Id, { ...Nodes, description: 'The nodes that reach it; all if not given' }),
)
export const KeptNodes = Type.Union([Nodes, Type.Null()])

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
  examples: ['/srv/vms'],
  pattern: '^/(?!.*(^|/)\\.{1,2}(/|$))[^\\u0000-\\u0020\\u007f:,\\\\]*$',
  maxLength: 1024,
  description: 'Folder that the server exports, such as `/srv/vms`',
  errorMessage: 'must be an absolute path without . and .., spaces, colons, commas and backslashes',
})

/** Image files in an export of an NFS server, which the nodes mount. Version 3 needs a lock daemon, so it is not used. */
export const nfs = {
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
  examples: ['vms'],
  pattern: '^[A-Za-z0-9_][A-Za-z0-9_.$-]{0,79}$',
  description: 'Name of the share',
  errorMessage: 'must have only letters, digits, _, ., $ and -, at most 80',
})
const ShareFolder = Type.String({
  examples: ['horcrux/main'],
  pattern: '^(?!.*(^|/)\\.{1,2}(/|$))[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$',
  maxLength: 200,
  description: 'Folder in the share, which is there; the share itself if not given',
  errorMessage: 'must be names of letters, digits, _, . and -, separated by /, without . and ..',
})
const Account = Type.String({
  examples: ['horcrux'],
  pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,103}$',
  errorMessage: 'must have only letters, digits, _, . and -, at most 104',
})

const Owner = Type.String({
  examples: ['vms'],
  pattern: '^[a-z_][a-z0-9_-]{0,31}$',
  description: 'User of the nodes to whom the files belong, since a share keeps no owners: that of QEMU; default root',
  errorMessage: 'must be the name of a user: lower-case letters, digits, _ and -, at most 32',
})

/** Image files in a share of an SMB server, which the nodes mount. */
export const cifs = {
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
  examples: ['iqn.2026-11.lan.store:vms'],
  pattern: '^(iqn\\.[0-9]{4}-[0-9]{2}\\.[A-Za-z0-9.-]+(:[A-Za-z0-9:._-]+)?|(eui|naa)\\.[0-9A-Fa-f]{16,32})$',
  maxLength: 223,
  description: 'Name of the target, such as `iqn.2026-11.lan.store:vms`',
  errorMessage: 'must be an iSCSI name: iqn.<year>-<month>.<domain>:<name>, eui. or naa.',
})
const HighestLun = Type.Integer({ minimum: 0, maximum: 255, description: 'Units up to this number are looked for' })

/** Logical units of an iSCSI target, through libiscsi in QEMU: the node needs no initiator. */
export const iscsi = {
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

const GlusterName = Type.String({
  examples: ['vms'],
  pattern: '^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$',
  description: 'Name of the volume of the cluster',
  errorMessage: 'must have only letters, digits, _ and -, at most 100',
})
const Servers = Type.Array(HostName, {
  minItems: 1,
  maxItems: 16,
  uniqueItems: true,
  description: 'Servers that name the bricks of the volume, the next one when one is away',
})

/** Image files in a volume of a GlusterFS cluster, which the nodes mount by FUSE. */
export const glusterfs = {
  given: {
    nodes: GivenNodes,
    servers: Servers,
    volume: GlusterName,
    folder: Type.Optional(ShareFolder),
    path: MountPath,
  },
  config: {
    nodes: KeptNodes,
    servers: Servers,
    volume: GlusterName,
    folder: Type.Union([ShareFolder, Type.Null()]),
    path: Path,
  },
  secrets: {},
}

const Endpoint = Type.String({
  examples: ['https://s3.lan:9000'],
  pattern: '^https?://(\\[[0-9A-Fa-f:.]{2,45}\\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})(:[0-9]{1,5})?/?$',
  description: 'Address of the store, such as `https://s3.lan:9000`; with http:// others on the way read the objects',
  errorMessage: 'must be http:// or https://, a host name or an address, and maybe a port',
})
const Bucket = Type.String({
  examples: ['horcrux-backups'],
  pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$',
  description: 'Name of a bucket that is there',
  errorMessage: 'must have 3 to 63 lower-case letters, digits, . and -, and begin and end with a letter or digit',
})
const Region = Type.String({
  examples: ['eu-central-1'],
  pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
  errorMessage: 'must have only lower-case letters, digits and -, at most 63, and begin with a letter or digit',
})
const AccessKey = Type.String({
  examples: ['horcrux'],
  pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$',
  description: 'Id of the key',
  errorMessage: 'must have only letters, digits, _, . and -, at most 128, and begin with a letter or digit',
})
const Certificate = Type.String({
  examples: ['-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'],
  pattern: '^-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\\s-]+-----END CERTIFICATE-----\\s*$',
  maxLength: 65_536,
  description: 'Certificate authority of the store in PEM, instead of those that every system knows',
  errorMessage: 'must be a certificate in PEM',
})

/** Objects in a bucket of a store that speaks S3: images and backups, no disks. */
export const s3 = {
  given: {
    nodes: GivenNodes,
    endpoint: Endpoint,
    bucket: Bucket,
    prefix: Type.Optional(
      Type.String({ ...ShareFolder, description: 'Folder in the bucket; the bucket itself if not given' }),
    ),
    region: Type.Optional(Type.String({ ...Region, default: 'us-east-1' })),
    access_key: AccessKey,
    ca: Type.Optional(Certificate),
  },
  config: {
    nodes: KeptNodes,
    endpoint: Endpoint,
    bucket: Bucket,
    prefix: Type.Union([ShareFolder, Type.Null()]),
    region: Region,
    access_key: AccessKey,
    ca: Type.Union([Certificate, Type.Null()]),
  },
  secrets: {
    secret_key: Type.String({
      pattern: '^[\\u0021-\\u007e]{8,256}$',
      errorMessage: 'must have 8 to 256 printable characters of ASCII',
    }),
  },
}
