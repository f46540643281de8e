import { type Static, Type } from 'typebox'
import { oneOf, Path, strict } from '#shared/contracts/common.ts'
import { Environment, Image, Labels } from '#shared/contracts/container/parts.ts'

/** A text that an argument list can hold. */
const Text = (maxLength: number) =>
  Type.String({
    maxLength,
    pattern: '^[^\\u0000\\ud800-\\udfff]*$',
    errorMessage: 'must not contain NUL',
  })
const Words = Type.Union([Text(65_536), Type.Array(Text(32_768), { maxItems: 1000 })])

const Key = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$',
  errorMessage: 'must be 1 to 63 letters, digits, _ . and -, and begin with a letter or digit',
})
const named = <T extends Parameters<typeof Type.Record>[1]>(value: T) =>
  Type.Record(Type.String(), value, { propertyNames: Key, maxProperties: 200 })

const Duration = Type.String({
  pattern: '^(\\d{1,6}(\\.\\d{1,6})?(us|ms|s|m|h)){1,4}$',
  errorMessage: 'must be a duration such as 1m30s',
})
const Bytes = Type.String({
  pattern: '^\\d{1,15}([bkmgBKMG][bB]?)?$',
  errorMessage: 'must be a number of bytes such as 64m',
})
const Port = Type.Integer({ minimum: 1, maximum: 65_535 })
const Address = Type.String({ pattern: '^[0-9a-fA-F.:]{2,45}$', errorMessage: 'must be an IP address' })
const HostName = Type.String({
  pattern: '^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$',
  errorMessage: 'must be a host name',
})
const Engines = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{1,127}$',
  errorMessage: 'must be 2 to 128 letters, digits, _ . and -, and begin with a letter or digit',
})

const Mount = Type.Union([
  strict({ type: Type.Literal('bind'), source: Path, target: Path, read_only: Type.Optional(Type.Boolean()) }),
  strict({
    type: Type.Literal('volume'),
    source: Type.Optional(Key),
    target: Path,
    read_only: Type.Optional(Type.Boolean()),
  }),
  strict({ type: Type.Literal('tmpfs'), target: Path }),
])

const Published = strict({
  target: Port,
  published: Type.Optional(Port),
  protocol: oneOf('tcp', 'udp'),
  host_ip: Type.Optional(Address),
})

/** A service in its long form. A key that is not here is refused: it is unknown, or it leads out of the container. */
export const Service = strict({
  image: Image,
  command: Type.Optional(Words),
  entrypoint: Type.Optional(Words),
  environment: Type.Optional(Environment),
  labels: Type.Optional(Labels),
  ports: Type.Optional(Type.Array(Published, { maxItems: 100 })),
  expose: Type.Optional(Type.Array(Port, { maxItems: 100 })),
  volumes: Type.Optional(Type.Array(Mount, { maxItems: 50 })),
  tmpfs: Type.Optional(Type.Array(Path, { maxItems: 20 })),
  restart: Type.Optional(
    Type.String({
      pattern: '^(no|always|unless-stopped|on-failure(:\\d{1,4})?)$',
      errorMessage: 'must be no, always, on-failure, on-failure:N or unless-stopped',
    }),
  ),
  healthcheck: Type.Optional(
    strict({
      test: Type.Optional(Words),
      interval: Type.Optional(Duration),
      timeout: Type.Optional(Duration),
      start_period: Type.Optional(Duration),
      retries: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
      disable: Type.Optional(Type.Boolean()),
    }),
  ),
  mem_limit: Type.Optional(Bytes),
  cpus: Type.Optional(Type.Number({ minimum: 0.01, maximum: 1024 })),
  pids_limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 4_194_304 })),
  scale: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
  depends_on: Type.Optional(
    named(strict({ condition: oneOf('service_started', 'service_healthy', 'service_completed_successfully') })),
  ),
  networks: Type.Optional(
    named(
      strict({
        aliases: Type.Optional(Type.Array(HostName, { maxItems: 20 })),
        ipv4_address: Type.Optional(Address),
        ipv6_address: Type.Optional(Address),
      }),
    ),
  ),
  extra_hosts: Type.Optional(Type.Record(Type.String(), Address, { propertyNames: HostName, maxProperties: 100 })),
  dns: Type.Optional(Type.Array(Address, { maxItems: 10 })),
  cap_drop: Type.Optional(
    Type.Array(Type.String({ pattern: '^[A-Z_]{1,40}$', errorMessage: 'must be a capability such as NET_RAW' }), {
      maxItems: 50,
    }),
  ),
  container_name: Type.Optional(Engines),
  hostname: Type.Optional(HostName),
  user: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?$',
      errorMessage: 'must be a user or a user:group, by names or numbers',
    }),
  ),
  working_dir: Type.Optional(Path),
  stop_signal: Type.Optional(Type.String({ pattern: '^(SIG)?[A-Z0-9+-]{1,12}$', errorMessage: 'must be a signal' })),
  stop_grace_period: Type.Optional(Duration),
  init: Type.Optional(Type.Boolean()),
  read_only: Type.Optional(Type.Boolean()),
  tty: Type.Optional(Type.Boolean()),
  stdin_open: Type.Optional(Type.Boolean()),
  privileged: Type.Optional(Type.Boolean()),
})
export type Service = Static<typeof Service>

export const Project = strict({
  services: Type.Record(Type.String(), Service, { propertyNames: Key, minProperties: 1, maxProperties: 100 }),
  volumes: named(
    strict({
      name: Type.Optional(Engines),
      external: Type.Optional(Type.Boolean()),
      driver: Type.Optional(Type.Literal('local')),
      labels: Type.Optional(Labels),
    }),
  ),
  networks: named(
    strict({
      name: Type.Optional(Engines),
      external: Type.Optional(Type.Boolean()),
      driver: Type.Optional(Type.Literal('bridge')),
      internal: Type.Optional(Type.Boolean()),
      enable_ipv6: Type.Optional(Type.Boolean()),
      labels: Type.Optional(Labels),
      ipam: Type.Optional(
        strict({
          config: Type.Array(
            strict({
              subnet: Type.String({ pattern: '^[0-9a-fA-F.:]{2,45}/\\d{1,3}$', errorMessage: 'must be a CIDR range' }),
              gateway: Type.Optional(Address),
            }),
            { maxItems: 4 },
          ),
        }),
      ),
    }),
  ),
})
/** A Compose project in the long form of each setting, with `$` for itself. */
export type Project = Static<typeof Project>
