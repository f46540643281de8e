type Json = unknown
type Fields = Record<string, Json>

const isFields = (value: Json): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)
/** A value that stands for a text in YAML, such as a number. */
const textOf = (value: Json): Json => (typeof value === 'number' || typeof value === 'boolean' ? String(value) : value)
const listOf = (value: Json): Json => (typeof value === 'string' || typeof value === 'number' ? [value] : value)

function mapped(fields: Json, change: (value: Json) => Json): Json {
  return isFields(fields)
    ? Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, change(value)]))
    : fields
}

/** `['A=1']` as `{A: '1'}`; a name without a value has null, which is refused: nothing of the node's environment is given. */
function pairsOf(value: Json, separator = '='): Json {
  if (!Array.isArray(value)) return mapped(value, textOf)
  const pairs = value.map((line) => {
    const text = String(line)
    const at = text.indexOf(separator)
    return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)]
  })
  return Object.fromEntries(pairs)
}

/** `['a']` as `{a: {}}`. */
const keysOf = (value: Json, each: Fields): Json =>
  Array.isArray(value)
    ? Object.fromEntries(value.map((key) => [String(key), { ...each }]))
    : mapped(value, (one) => one ?? { ...each })

const numberOf = (value: Json): Json =>
  typeof value === 'string' && /^\d{1,9}(\.\d{1,6})?$/.test(value) ? Number(value) : value

/** `[IP:][PORT:]PORT[/PROTOCOL]` in its long form; another text stays, and the schema refuses it. */
function portOf(value: Json): Json {
  if (isFields(value)) return { protocol: 'tcp', ...(mapped(value, numberOf) as Fields) }
  const found =
    /^(?:(?:(?<ip>[\d.]+|\[[0-9a-fA-F:.]+\]):)?(?<published>\d*):)?(?<target>\d+)(?:\/(?<protocol>\w+))?$/.exec(
      String(value),
    )
  if (!found?.groups) return value
  const { ip, published, target, protocol = 'tcp' } = found.groups
  return {
    target: Number(target),
    ...(published && { published: Number(published) }),
    protocol,
    ...(ip !== undefined && { host_ip: ip.replaceAll(/[[\]]/g, '') }),
  }
}

/** `[SOURCE:]TARGET[:ro|rw]` in its long form. */
function mountOf(value: Json): Json {
  if (typeof value !== 'string') return value
  const parts = value.split(':')
  const mode = parts.length > 1 && /^(ro|rw)$/.test(parts.at(-1)!) ? parts.pop() : 'rw'
  if (parts.length > 2) return value
  const [first, target] = parts as [string, string?]
  if (target === undefined) return { type: 'volume', target: first }
  const type = /^[/.~]/.test(first) ? 'bind' : 'volume'
  return { type, source: first, target, ...(mode === 'ro' && { read_only: true }) }
}

const each = (change: (value: Json) => Json) => (value: Json) => (Array.isArray(value) ? value.map(change) : value)
const wordsOf = (value: Json) => (Array.isArray(value) ? value.map(textOf) : textOf(value))

/** The long form of each setting of a service that has a short one. */
const serviceForms: Record<string, (value: Json) => Json> = {
  command: wordsOf,
  entrypoint: wordsOf,
  environment: (value) => pairsOf(value),
  labels: (value) => pairsOf(value),
  ports: each(portOf),
  expose: each(numberOf),
  volumes: each(mountOf),
  tmpfs: listOf,
  dns: listOf,
  user: textOf,
  cpus: numberOf,
  mem_limit: textOf,
  hostname: textOf,
  extra_hosts: (value) => pairsOf(value, ':'),
  depends_on: (value) => keysOf(value, { condition: 'service_started' }),
  networks: (value) => keysOf(value, {}),
  healthcheck: (value) =>
    isFields(value) ? { ...value, ...('test' in value && { test: wordsOf(value['test']) }) } : value,
}

const withForms = (forms: typeof serviceForms) => (value: Json) =>
  isFields(value)
    ? Object.fromEntries(
        Object.entries(value).map(([key, one]) => [key, one === null ? one : (forms[key]?.(one) ?? one)]),
      )
    : value

/** Fields of extensions, which Compose ignores. */
const withoutExtensions = (fields: Json): Json =>
  isFields(fields) ? Object.fromEntries(Object.entries(fields).filter(([key]) => !key.startsWith('x-'))) : fields

const named = (fields: Json, form: (value: Json) => Json) =>
  mapped(fields ?? {}, (value) => withoutExtensions(form(value ?? {})))

/** A Compose file with each setting in its long form. Values of a wrong type stay as they are. */
export function longForms(file: Fields): Fields {
  const { version: _version, name: _name, services, volumes, networks, ...others } = withoutExtensions(file) as Fields
  return {
    ...others,
    services: mapped(services, (value) => withoutExtensions(withForms(serviceForms)(value))),
    volumes: named(volumes, withForms({ labels: (value) => pairsOf(value) })),
    networks: named(networks, withForms({ labels: (value) => pairsOf(value) })),
  }
}
