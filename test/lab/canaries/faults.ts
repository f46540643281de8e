import { propertiesOf } from '#shared/contract/branches.ts'
import type { Route } from '../../../services/gateway/rest/ask-service.ts'
import type { ask } from '../clients/http.ts'
import type { Canaries } from './canaries.ts'
import type { Way } from './ways.ts'

/** A failing request, and its allowed statuses. */
export type Fault = { what: string; line: string; asked: Parameters<typeof ask>[2]; statuses: number[] }

/** The line of a request, and the parameters left for its body. */
export function lineOf({ method, path }: Route, params: Record<string, unknown>) {
  const json = { ...params }
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, key: string) => {
    const value = String(json[key])
    delete json[key]
    return encodeURIComponent(value)
  })
  return { line: `${method} /api${filled}`, json }
}

/** The places of secrets that are among these parameters. */
const takenBy = ({ action }: Route, params: object) =>
  (action.secret ?? []).filter((path) => Object.hasOwn(params, path.split('.')[0]!))

/** Every way in which a request may go wrong at the door or in its service, each with secrets of its own in it. */
export function faultsOf(route: Route, way: Way, weak: string, canaries: Canaries): Fault[] {
  const { name, action } = route
  const { line, json } = lineOf(route, way.params)
  const { token, headers = {} } = way
  const who = { ...(token !== undefined && { token }), headers }
  const make = (what: string) => canaries.make(`${what} at ${name}`)
  const taken = takenBy(route, propertiesOf(action.params))
  const field = taken[0] ?? 'password'
  const typed = (type: string, raw: string) => ({ ...who, raw, headers: { ...headers, 'content-type': type } })
  const body = (value: unknown) => JSON.stringify(withAt(json, field, value))
  const isOpen = action.can === 'anyone'

  const ofFields = taken.flatMap((key) => {
    const wrong = (what: string, value: unknown) => ({
      what: `${key} ${what}`,
      line,
      asked: { ...who, json: withAt(json, key, value) },
      statuses: [422],
    })
    return [
      wrong('in an object', { inside: make(`${key} in an object`) }),
      wrong('in a list', [make(`${key} in a list`)]),
      wrong('as long as a book', make(`a long ${key}`) + 'x'.repeat(70_000)),
    ]
  })
  const faults: Fault[] = [
    ...ofFields,
    {
      what: 'a field that nobody knows',
      line,
      asked: { ...who, json: { ...json, unknown_secret: make('an unknown field') } },
      statuses: [422],
    },
    { what: 'no JSON', line, asked: typed('application/json', make('no JSON')), statuses: [400] },
    {
      what: 'JSON that breaks off',
      line,
      asked: typed('application/json', body(make('JSON that breaks off')).slice(0, -2)),
      statuses: [400],
    },
    {
      what: 'JSON with a stray word',
      line,
      asked: typed('application/json', `{"${field}": ${make('a stray word')}}`),
      statuses: [400],
    },
    { what: 'a plain text', line, asked: typed('text/plain', make('a plain text')), statuses: [400] },
    {
      what: 'a form',
      line,
      asked: typed('application/x-www-form-urlencoded', `${field}=${make('a form')}`),
      statuses: [400],
    },
    {
      what: 'a secret in the address',
      line: `${line}?access_token=${make('the address')}`,
      asked: { ...who, json },
      statuses: [422],
    },
  ]
  const strangers = [
    ['a wrong token', { authorization: `Bearer ${make('a token')}` }],
    ['a wrong login', { authorization: `Basic ${Buffer.from(`admin:${make('Basic')}`).toString('base64')}` }],
    ['a wrong key', { 'x-api-key': `hx_${'0'.repeat(24)}_${make('a key')}` }],
    ['a wrong cookie', { cookie: `horcrux_session=${make('a cookie')}`, 'x-horcrux-request': '1' }],
  ] as const
  if (!isOpen)
    faults.push(
      ...strangers.map(([what, theirs]) => ({ what, line, asked: { json, headers: theirs }, statuses: [401] })),
      { what: 'nobody', line, asked: { json }, statuses: [401] },
    )
  if (action.can.includes(' on '))
    faults.push({ what: 'too few rights', line, asked: { token: weak, json }, statuses: [403] })
  return faults
}

/** The parameters with another value at a place such as `user.plain_password`. */
function withAt(params: Record<string, unknown>, path: string, value: unknown): Record<string, unknown> {
  const [key, ...rest] = path.split('.') as [string, ...string[]]
  if (rest.length === 0) return { ...params, [key]: value }
  return { ...params, [key]: withAt((params[key] ?? {}) as Record<string, unknown>, rest.join('.'), value) }
}

/** The same request with secrets that are not right. */
export function guessed(route: Route, way: Way, canaries: Canaries): Record<string, unknown> {
  const taken = takenBy(route, way.params)
  return taken.reduce(
    (params, path) => withAt(params, path, canaries.make(`a wrong ${path} at ${route.name}`)),
    way.params,
  )
}
