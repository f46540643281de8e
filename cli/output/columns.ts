import type { Form } from '../manifest/types.ts'

/** Columns of the table of each noun; other nouns show their first simple fields. */
const known: Record<string, string[]> = {
  vms: ['name', 'status', 'cpus', 'memory', 'node', 'tags', 'id'],
  containers: ['name', 'status', 'runtime', 'image', 'ip', 'node', 'id'],
  nodes: ['id', 'name', 'status', 'address'],
  pools: ['name', 'type', 'state', 'health', 'capacity_bytes', 'available_bytes', 'id'],
  volumes: ['name', 'format', 'size_bytes', 'used_by'],
  operations: ['id', 'kind', 'state', 'progress.percent', 'resources', 'user', 'created_at'],
  users: ['username', 'full_name', 'enabled', 'totp', 'last_login_at'],
  permissions: ['id', 'subject', 'role', 'path', 'expires_at'],
  snapshots: ['name', 'state', 'is_current', 'consistency', 'size_bytes', 'created_at', 'id'],
  templates: ['name', 'cpus', 'memory', 'node', 'tags', 'id'],
  networks: ['name', 'type', 'node', 'subnets', 'internal', 'id'],
  audit: ['seq', 'time', 'kind', 'user', 'path', 'result', 'message'],
}

const first = ['id', 'name', 'username', 'kind', 'type', 'status', 'state', 'health']
const last = ['description', 'created_at', 'updated_at', 'version']
const simple = ['string', 'integer', 'number', 'boolean', 'any']
const most = 7

/** The columns of a table, in their order: those of the noun that there are, else the first simple fields. */
export function columnsOf(noun: string, fields: Record<string, Form> | undefined, isWide: boolean): string[] {
  const has = (column: string) => !fields || Object.hasOwn(fields, column.split('.')[0]!)
  const own = known[noun]?.filter(has) ?? []
  const names = Object.keys(fields ?? {})
  const place = (name: string) =>
    first.includes(name) ? first.indexOf(name) : last.includes(name) ? 1000 + last.indexOf(name) : 100
  const bySense = names
    .filter((name) => simple.includes(fields?.[name]?.type ?? ''))
    .toSorted((a, b) => place(a) - place(b))
  if (isWide) return [...new Set([...own, ...bySense])]
  return own.length > 1 ? own : bySense.filter((name) => !['updated_at', 'version'].includes(name)).slice(0, most)
}

/** The value at `a.b` of a record. */
export const valueAt = (record: unknown, column: string): unknown =>
  column.split('.').reduce<unknown>((at, name) => (at as Record<string, unknown> | null | undefined)?.[name], record)
