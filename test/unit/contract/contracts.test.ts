import { expect, test } from 'vitest'
import { branchesOf, propertiesOf } from '#shared/contract/branches.ts'
import type { Action } from '#shared/contract/contract.ts'
import { isValid } from '#shared/contract/validate.ts'
import { Boot } from '#shared/contracts/vm/hardware.ts'
import { contracts } from '#shared/contracts/index.ts'
import { secretFields } from '#shared/runtime/log.ts'
import { privileges } from '#shared/access/privileges.ts'

const actions = contracts.flatMap((contract) =>
  Object.entries(contract.actions as Record<string, Action>).map(([key, action]) => ({
    name: `${contract.name}.${key}`,
    action,
  })),
)

test('every action names its access: a known privilege on a path, signed-in, anyone or service', () => {
  for (const { name, action } of actions) {
    const [privilege, path] = action.can.split(' on ')
    const isPlain = ['anyone', 'signed-in', 'service'].includes(action.can)
    expect(isPlain || ((privileges as readonly string[]).includes(privilege!) && path!.startsWith('/')), name).toBe(
      true,
    )
  }
})

test('every parameter of a route is among the parameters of its action', () => {
  for (const { name, action } of actions)
    for (const [, key] of (action.rest ?? '').matchAll(/\{(\w+)\}/g))
      expect(Object.keys(propertiesOf(action.params)), name).toContain(key)
})

test('no two actions have the same route', () => {
  const routes = actions.flatMap(({ action }) => (action.rest ? [action.rest.replaceAll(/\{\w+\}/g, '{}')] : []))
  expect(routes.filter((route, index) => routes.indexOf(route) !== index)).toEqual([])
})

test('no action takes fields that its contract does not name', () => {
  for (const { name, action } of actions)
    for (const branch of branchesOf(action.params)) expect(branch, name).toHaveProperty('additionalProperties', false)
})

test('a list that filters its items is open to every signed-in user', () => {
  for (const { name, action } of actions)
    if ('itemAccess' in action && action.itemAccess) expect(action.can, name).toBe('signed-in')
})

const smell =
  /passw|passphrase|secret|token|credential|ticket|totp|cookie|authorization|seed|nkey|(^|_)(key|keys|code|codes)$/
/** What only sounds like a secret, and why it is none. */
const harmless: Record<string, string> = {
  host_key: 'the fingerprint of a public key',
  public_key: 'public',
  ssh_keys: 'public keys, for authorized_keys',
  ticket_id: 'names a ticket; what opens a console is the rest of it',
  ticket_ids: 'name tickets',
  api_key: 'the public id of one',
  sealed_key: 'encrypted; it cannot be read without HORCRUX_SECRET_KEY',
  code: 'names the kind of a violation',
  key: 'the key of a label, which a selector looks at',
  user_code: 'of the sign-in of a device: only a signed-in user can do something with it',
  token_id: 'names a token; its secret is `token_secret`',
  access_key: 'the id of a key; its secret is `secret_key`',
  seed: 'where the seed of cloud-init is, in which no password is in clear',
}

/** A JSON Schema, as far as these tests read it; TypeBox's are. */
type Schema = { type?: unknown; properties?: Record<string, Schema>; items?: Schema; anyOf?: Schema[]; const?: unknown }
/** Every field of a schema at any depth, as `user.plain_password`, and whether it can hold a text. */
function fieldsOf({ properties = {}, items, anyOf = [] }: Schema, path = ''): { path: string; isText: boolean }[] {
  const own = Object.entries(properties).flatMap(([key, schema]) => [
    { path: `${path}${key}`, isText: holdsText(schema) },
    ...fieldsOf(schema, `${path}${key}.`),
  ])
  return [...own, ...[...(items ? [items] : []), ...anyOf].flatMap((schema) => fieldsOf(schema, path))]
}
const nameOf = (path: string) => path.split('.').at(-1)!
const holdsText = ({ type, items, anyOf = [] }: Schema): boolean =>
  type === 'string' || (items !== undefined && holdsText(items)) || anyOf.some(holdsText)

test('every field named like a secret is listed as a secret of its action, or explained', () => {
  const sounding = actions.flatMap(({ name, action }) =>
    [...fieldsOf(action.params as Schema), ...fieldsOf(action.result as Schema)]
      .filter(({ path, isText }) => isText && smell.test(nameOf(path)) && !action.secret?.includes(path))
      .map(({ path }) => ({ field: nameOf(path), at: `${name}: ${path}` })),
  )
  expect(sounding.filter(({ field }) => !(field in harmless)).map(({ at }) => at)).toEqual([])
  // What explains nothing any more would hide what comes next.
  expect(new Set(sounding.map(({ field }) => field))).toEqual(new Set(Object.keys(harmless)))
})

test('every secret that is listed is there', () => {
  for (const { name, action } of actions) {
    const fields = [...fieldsOf(action.params as Schema), ...fieldsOf(action.result as Schema)].map(({ path }) => path)
    for (const secret of action.secret ?? []) expect(fields, name).toContain(secret)
  }
})

test('every listed secret is removed from the logs by its name', () => {
  // Many other things have these names, such as the code of an error, which a log has to tell.
  const ambiguous = ['code', 'text', 'uri']
  const listed = actions.flatMap(({ action }) => (action.secret ?? []).map(nameOf))
  expect(listed.filter((name) => ![...secretFields, ...ambiguous].includes(name))).toEqual([])
})

type Shape = { type?: string | string[]; anyOf?: Shape[]; enum?: unknown[]; properties?: Record<string, Shape> }

const takesNull = ({ type, anyOf = [], enum: values = [] }: Shape): boolean =>
  [type].flat().includes('null') || values.includes(null) || anyOf.some(takesNull)

/** The fields that are shown as null and cannot be sent back so, at any depth. */
const refusedNulls = (shown: Shape, sent: Shape, at: string): string[] =>
  Object.entries(sent.properties ?? {}).flatMap(([key, taken]) => {
    const field = shown.properties?.[key]
    if (!field) return []
    const object = field.anyOf?.find(({ properties }) => properties) ?? field
    const isRefused = takesNull(field) && !takesNull(taken)
    return [...(isRefused ? [`${at}.${key}`] : []), ...refusedNulls(object, taken, `${at}.${key}`)]
  })

test('what a GET shows as null can be sent back in a PATCH', () => {
  const changes = actions.filter(({ action }) => action.rest?.startsWith('PATCH'))
  expect(changes.map(({ name }) => name)).toEqual(expect.arrayContaining(['vms.update', 'nodes.update']))
  expect(changes.flatMap(({ name, action }) => refusedNulls(action.result, action.params as Shape, name))).toEqual([])
})

test.each(['a\rb', 'a\nb', 'a\tb', 'a\u0001', 'a\u007f', 'a\u0085', 'a\u2028', 'half \ud800', '\uffff'])(
  'the kernel gets one line, and a path has no control characters: %j',
  (text) => {
    const boot = { kernel: '/kernel', cmdline: text }
    expect(isValid(Boot, boot)).toBe(false)
    expect(isValid(Boot, { ...boot, cmdline: 'console=ttyS0 quiet "ä 😀"' })).toBe(true)
    if (!/[\u0085\u2028]/.test(text)) expect(isValid(Boot, { kernel: `/${text}` })).toBe(false)
  },
)
