import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  SearchQuery,
  Name,
  None,
  oneOf,
  SearchPage,
  Path,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'
import { ChannelState, CpuBaselines, NodeHealth } from '#shared/contracts/cluster/node-health.ts'

export const Accel = oneOf('kvm', 'tcg')

/** The description of a field that is kept for older clients: a newer field has the same value. */
const olderName = (of: string) => `Older name; see ${of}`

const Facts = strict({
  hostname: Type.String(),
  architecture: Type.String(),
  cpu_model: Type.String(),
  cpus: Type.Integer({ description: 'Processors that are online' }),
  memory_mib: Type.Integer(),
  kernel: Type.String(),
  libvirt_version: Type.Union([Type.String(), Type.Null()], { description: olderName('`engines`') }),
  qemu_version: Type.Union([Type.String(), Type.Null()], { description: olderName('`engines`') }),
  accel: Accel,
  accel_reason: Type.String({ description: 'Why guests run with KVM or in emulation' }),
})
export type Facts = Static<typeof Facts>

/** A machine in the network. */
export const Address = Type.String({
  minLength: 1,
  maxLength: 253,
  examples: ['hv2.lan'],
  pattern: '^[A-Za-z0-9.:_-]+$',
  errorMessage: 'must be a host name or an IP address',
})
const Fingerprint = Type.String({
  examples: ['SHA256:uNiVztksCsDhcc0u9e8BrYXX5bqXgbKXaY9lkcO3Hp4'],
  pattern: '^SHA256:[A-Za-z0-9+/]{43}$',
  errorMessage: 'must be a fingerprint such as ssh-keygen -l prints: SHA256:…',
})
const User = Type.String({
  examples: ['root'],
  pattern: '^[a-z_][a-z0-9_-]{0,31}$',
  errorMessage: 'must be a user name of the host',
})
const Port = Type.Integer({ minimum: 1, maximum: 65_535 })

const PrivateKey = Type.String({
  minLength: 1,
  maxLength: 16_384,
  description: 'PEM or OpenSSH format, without passphrase',
})
const LibvirtUri = Type.String({
  examples: ['qemu:///system'],
  pattern: '^qemu(\\+unix)?:///(system|session)(\\?socket=/[^&]*)?$',
  errorMessage: 'must be a local URI of the node: qemu:///system or qemu+unix:///system?socket=/path',
})

const SocketPath = Type.String({ ...Path, examples: ['/run/engine.socket'] })
const Socket = strict({ socket: SocketPath })

/** Address of each engine of a node: one branch for each. */
const EngineConfig = Type.Object(
  {
    libvirt: Type.Optional(strict({ uri: LibvirtUri })),
    lxd: Type.Optional(Socket),
    incus: Type.Optional(Socket),
    docker: Type.Optional(Socket),
    podman: Type.Optional(Socket),
    lxc: Type.Optional(strict({ path: Path })),
  },
  {
    additionalProperties: false,
    description:
      'Where the engines of the node are, as seen on the node; one that is not named is looked for in the usual places',
  },
)
export type EngineConfig = Static<typeof EngineConfig>
export type EngineKind = keyof EngineConfig

const EngineState = strict({
  kind: Type.String({ description: Object.keys(EngineConfig.properties).join(', ') }),
  status: Type.Enum(['online', 'offline', 'absent', 'unknown'], { description: 'absent: the host does not have it' }),
  reason: Type.Union([Type.String(), Type.Null()], { description: 'Why it is not online' }),
  version: Type.Union([Type.String(), Type.Null()]),
  components: Type.Record(Type.String(), Type.String(), { description: 'Versions of the programs that it brings' }),
  checked_at: Type.Union([Time, Type.Null()], { description: 'When this state was found; it holds since' }),
})
export type EngineState = Static<typeof EngineState>

const EngineSockets = Type.Object(
  { lxd: Type.Optional(SocketPath), incus: Type.Optional(SocketPath) },
  { additionalProperties: false, description: olderName('`engine_config`') },
)

export const Node = record('id name status address')({
  id: Id,
  name: Name,
  kind: oneOf('local', 'ssh'),
  address: Type.Union([Address, Type.Null()]),
  ssh_port: Type.Union([Port, Type.Null()]),
  ssh_user: Type.Union([User, Type.Null()]),
  host_key: Type.Union([Fingerprint, Type.Null()], { description: 'The pinned host key; no other is accepted' }),
  libvirt_uri: Type.String({ description: olderName('`engine_config`') }),
  allowed_paths: Type.Array(Path, { description: 'Folders of the node that pools, kernels and images may lie in' }),
  state_dir: Path,
  engine_config: EngineConfig,
  engine_sockets: EngineSockets,
  status: oneOf('online', 'offline', 'unknown'),
  status_reason: Type.Union([Type.String(), Type.Null()], { description: 'Why it is not online' }),
  engines: Type.Array(EngineState),
  channels: Type.Array(ChannelState, { description: 'Host, clock and storage pools as last checked' }),
  hypervisor_status: Type.Enum(['online', 'offline', 'unknown'], { description: olderName('`engines`') }),
  hypervisor_reason: Type.Union([Type.String(), Type.Null()], { description: olderName('`engines`') }),
  maintenance: Type.Boolean({ description: 'Nothing new is placed on it, and nothing is started there' }),
  facts: Type.Union([Facts, Type.Null()]),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Node = Static<typeof Node>

/** Address of a node and its engines, for services; the private key is sealed (secrets.ts, purpose `node`). */
const Reach = strict({
  id: Type.String(),
  name: Type.String(),
  kind: oneOf('local', 'ssh'),
  address: Type.String(),
  port: Type.Integer(),
  user: Type.String(),
  host_key: Type.String(),
  sealed_key: Type.String(),
  engine_config: EngineConfig,
  allowed_paths: Type.Array(Type.String()),
  state_dir: Type.String(),
  accel: Type.Union([Accel, Type.Null()]),
  architecture: Type.Union([Type.String(), Type.Null()]),
  maintenance: Type.Boolean(),
})
export type Reach = Static<typeof Reach>

export const nodes = contract('nodes', {
  list: {
    does: 'List the nodes',
    rest: 'GET /cluster/nodes',
    can: 'signed-in',
    itemAccess: 'SysAudit on /api/cluster/nodes/{id}',
    params: SearchQuery(Node, ['name', 'kind', 'status']),
    result: SearchPage(Node),
  },
  get: {
    does: 'Get a node',
    rest: 'GET /cluster/nodes/{id}',
    can: 'SysAudit on /api/cluster/nodes/{id}',
    params: ById,
    result: Node,
  },
  health: {
    does: 'Check every channel to a node: host, clock, engines and storage pools, each with reason and age',
    rest: 'GET /cluster/nodes/{id}/health',
    can: 'SysAudit on /api/cluster/nodes/{id}',
    params: ById,
    result: NodeHealth,
    computed: true,
  },
  cpuBaseline: {
    does: 'Compute the CPU model and features that the nodes have in common',
    rest: 'GET /cluster/cpu-baseline',
    can: 'SysAudit on /api/cluster/nodes',
    params: None,
    result: CpuBaselines,
    computed: true,
  },
  pinHostKey: {
    does: 'Pin the host key that a node shows now, once it was compared with the key on the host',
    rest: 'POST /cluster/nodes/{id}/host-key',
    can: 'SysModify on /api/cluster/nodes/{id}',
    audit: 'certificate_changed',
    params: strict({ id: Id, host_key: Fingerprint }),
    result: Node,
  },
  hostKey: {
    does: 'Read the host key that an address shows, to compare it before it is pinned',
    rest: 'GET /cluster/host-key',
    can: 'SysModify on /api/cluster/nodes',
    params: strict({ address: Address, ssh_port: Type.Integer({ minimum: 1, maximum: 65_535, default: 22 }) }),
    result: strict({ type: Type.String(), fingerprint: Type.String(), public_key: Type.String() }),
  },
  register: {
    does: 'Register a host as a node, over SSH',
    rest: 'POST /cluster/nodes',
    can: 'SysModify on /api/cluster/nodes/{id}',
    operation: true,
    audit: 'node_added',
    params: strict({
      id: Type.Optional(Id),
      name: Name,
      address: Address,
      ssh_port: Type.Integer({ minimum: 1, maximum: 65_535, default: 22 }),
      ssh_user: Type.String({ ...User, default: 'root' }),
      private_key: PrivateKey,
      host_key: Type.Optional(Fingerprint),
      libvirt_uri: Type.Optional(Type.String({ ...LibvirtUri, description: olderName('`engine_config`') })),
      allowed_paths: Type.Array(Path, { minItems: 1, maxItems: 50, default: ['/var/lib/horcrux'] }),
      engine_config: Type.Optional(EngineConfig),
      engine_sockets: Type.Optional(EngineSockets),
    }),
    result: Node,
    secret: ['private_key'],
  },
  update: {
    does: 'Change a node; how it is reached is changed only when it answers that way',
    rest: 'PATCH /cluster/nodes/{id}',
    can: 'SysModify on /api/cluster/nodes/{id}',
    audit: 'config_changed',
    params: strict({
      id: Id,
      name: Type.Optional(Name),
      maintenance: Type.Optional(Type.Boolean()),
      allowed_paths: Type.Optional(Type.Array(Path, { minItems: 1, maxItems: 50 })),
      engine_config: Type.Optional(EngineConfig),
      engine_sockets: Type.Optional(EngineSockets),
      address: Type.Optional(Node.properties.address),
      ssh_port: Type.Optional(Node.properties.ssh_port),
      ssh_user: Type.Optional(Node.properties.ssh_user),
      private_key: Type.Optional(PrivateKey),
      host_key: Type.Optional(Node.properties.host_key),
      libvirt_uri: Type.Optional(Type.String({ ...LibvirtUri, description: olderName('`engine_config`') })),
    }),
    result: Node,
    secret: ['private_key'],
  },
  remove: {
    does: 'Remove a node without VMs, containers and storage pools of its own',
    rest: 'DELETE /cluster/nodes/{id}',
    can: 'SysModify on /api/cluster/nodes/{id}',
    audit: 'node_removed',
    params: ById,
    result: Done,
    status: 204,
  },
  reach: {
    does: 'Tell a service how a node is reached',
    can: 'service',
    callers: ['gateway', 'storage', 'vm', 'container', 'metrics'],
    params: ById,
    result: Reach,
  },
  reachAll: {
    does: 'Tell a service how all nodes are reached',
    can: 'service',
    callers: ['storage', 'vm', 'container', 'metrics'],
    params: None,
    result: Type.Array(Reach),
  },
})
