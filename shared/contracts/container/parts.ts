import { type Static, Type } from 'typebox'
import { nullable, oneOf, Path, strict } from '#shared/contracts/common.ts'

/** One for each driver. The first is that of a new container that names none. */
const runtimes = ['docker', 'podman', 'lxc', 'lxd', 'incus'] as const
export const Runtime = oneOf(...runtimes)
/** The runtime of a new container, with its default. */
export const newRuntime = Type.Enum([...runtimes], { default: runtimes[0] })
export type Runtime = Static<typeof Runtime>

export const ContainerStatus = oneOf('running', 'stopped', 'paused', 'unknown')
export type ContainerStatus = Static<typeof ContainerStatus>

/** A text that an argument list, an environment and a configuration file can hold. */
const Text = (maxLength: number) =>
  Type.String({ maxLength, pattern: '^[^\\u0000\\ud800-\\udfff]*$', errorMessage: 'must not contain NUL' })
/** As `Text`, on one line. */
const Line = (maxLength: number) =>
  Type.String({
    maxLength,
    pattern: '^[^\\u0000-\\u001f\\u007f\\ud800-\\udfff]*$',
    errorMessage: 'must not contain control characters',
  })

export const Command = Type.Array(Text(32_768), { minItems: 1, maxItems: 1000 })

const keyed = (pattern: string, value: ReturnType<typeof Text>, errorMessage: string) =>
  Type.Record(Type.String(), value, {
    propertyNames: Type.String({ pattern, errorMessage }),
    maxProperties: 500,
  })
export const Environment = keyed(
  '^[A-Za-z_][A-Za-z0-9_.-]{0,254}$',
  Text(131_072),
  'has a wrong name: letters, digits, _ . and -, with a letter or _ first',
)
export const Labels = keyed(
  '^[A-Za-z0-9][A-Za-z0-9._/-]{0,254}$',
  Line(4096),
  'has a wrong name: letters, digits, . _ / and -, with a letter or digit first',
)

export const memoryMib = Type.Integer({ minimum: 4, maximum: 16_777_216, 'x-unit': 'MiB', description: 'MiB' })
const Cpus = Type.Number({ minimum: 0.01, maximum: 1024, description: 'Processors; fractions are allowed' })
const Pids = Type.Integer({ minimum: 1, maximum: 4_194_304, description: 'Processes and threads' })
/** Limits that can change while a container runs; null is no limit. */
export const limits = { memory: nullable(memoryMib), cpus: nullable(Cpus), pids: nullable(Pids) }
export type Limits = { memory: number | null; cpus: number | null; pids: number | null }

const Target = Type.String({ ...Path, examples: ['/data'], description: 'Absolute path in the container' })
const VolumeName = Type.String({
  examples: ['data'],
  pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{1,127}$',
  errorMessage: 'must be 2 to 128 letters, digits, _ . and -, and begin with a letter or digit',
})
const readOnly = Type.Boolean({ default: false })

/** A mount of a new container: a folder of the node, or a volume that the engine keeps. */
export const NewMount = Type.Union([
  strict({ type: Type.Literal('bind'), source: Path, target: Target, read_only: readOnly }),
  strict({ type: Type.Literal('volume'), source: VolumeName, target: Target, read_only: readOnly }),
])
export type NewMount = Static<typeof NewMount>

export const Mount = strict({
  type: Type.String({ description: 'bind, volume, or another word of the engine' }),
  source: nullable(Type.String()),
  target: Type.String(),
  read_only: Type.Boolean(),
})
export type Mount = Static<typeof Mount>

const PortNumber = Type.Integer({ minimum: 1, maximum: 65_535 })
export const Port = strict({
  container_port: PortNumber,
  host_port: Type.Integer({ ...PortNumber, description: 'Port of the node' }),
  protocol: Type.Enum(['tcp', 'udp'], { default: 'tcp' }),
  host_ip: Type.String({
    default: '0.0.0.0',
    examples: ['127.0.0.1'],
    pattern: '^[0-9a-fA-F.:]{2,45}$',
    errorMessage: 'must be an IP address of the node',
  }),
})
export type Port = Static<typeof Port>

export const RestartPolicy = oneOf('no', 'on-failure', 'always', 'unless-stopped')
export type RestartPolicy = Static<typeof RestartPolicy>

export const HealthCheck = strict({
  command: Command,
  interval: Type.Integer({ minimum: 1, maximum: 86_400, default: 30, 'x-unit': 'seconds', description: 'Seconds' }),
  timeout: Type.Integer({ minimum: 1, maximum: 3600, default: 30, 'x-unit': 'seconds', description: 'Seconds' }),
  retries: Type.Integer({ minimum: 1, maximum: 100, default: 3 }),
})
export type HealthCheck = Static<typeof HealthCheck>

export const ContainerNetwork = strict({
  name: Type.String(),
  address: nullable(Type.String()),
  mac: nullable(Type.String()),
})

export const Image = Type.String({
  examples: ['registry.example.org/web:1.4'],
  pattern: '^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$',
  errorMessage: 'must be the name or the id of an image, such as registry/name:tag',
})

/** A user of a container. */
export const User = Type.String({
  examples: ['www-data'],
  pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$',
  description: 'Name or number; LXC, LXD and Incus take numbers only',
  errorMessage: 'must be the name or the number of a user of the container',
})

/** The outcome of a command, the same on every engine. */
export const ExecResult = strict({
  exit_code: nullable(Type.Integer({ description: 'null when it was killed or lost' })),
  stdout: Type.String({ description: 'The first 256 KiB' }),
  stderr: Type.String({ description: 'The first 256 KiB' }),
  truncated: Type.Boolean(),
  reason: oneOf('exited', 'not_found', 'not_executable', 'timed_out', 'lost'),
})

export const LogTime = Type.String({
  examples: ['2026-01-31T12:00:00Z'],
  pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,9})?(Z|[+-]\\d\\d:\\d\\d)$',
  description: 'RFC 3339, with up to nine digits of a second',
  errorMessage: 'must be a time such as 2026-01-31T12:00:00Z',
})
export const LogLine = strict({
  time: nullable(Type.String({ description: 'null on an engine whose consoles have no times' })),
  stream: oneOf('stdout', 'stderr'),
  text: Type.String({ description: 'At most 256 KiB' }),
  truncated: Type.Boolean(),
})
export const Gap = Type.Boolean({
  description: 'Lines may be missing before these: the log has begun anew since the cursor',
})

export const Grace = Type.Integer({
  minimum: 0,
  maximum: 600,
  default: 10,
  'x-unit': 'seconds',
  description: 'Seconds until a container that has not ended by itself is killed',
})
