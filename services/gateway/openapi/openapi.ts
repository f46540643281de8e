import type { TProperties, TSchema } from 'typebox'
import { branchesOf, propertiesOf } from '#shared/contract/branches.ts'
import { type Contract, isChange, isOperation } from '#shared/contract/contract.ts'
import { Operation } from '#shared/contracts/core/operations.ts'
import type { Route } from '../rest/ask-service.ts'
import { isList } from '../rest/ndjson.ts'
import { guessable } from '../admission/admit.ts'
import { withSecrets, withUnits } from './hints.ts'
import { ApiError, commonHeaders, headers, parameters, problems, securitySchemes, sentences } from './parts.ts'
import { streamPaths } from './streams.ts'
import { routesOf } from '../rest/routes.ts'

type Json = Record<string, unknown>

/** The API as OpenAPI 3.1: made of the contracts, and of the few routes that are no JSON. */
export function openApi(contracts: readonly Contract[], version: string): Json {
  const names = componentNames(contracts)
  const plain = (schema: TSchema) => withRefs(schema, names)
  const routes = routesOf(contracts)
  const paths: Record<string, Json> = {}
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route, plain)
  for (const [path, stream] of Object.entries(streamPaths(contracts))) Object.assign((paths[path] ??= {}), stream)
  const schemas = [...names].map(([schema, name]) => [name, withRefs(schema, names, true)] as const)
  return {
    openapi: '3.1.0',
    info: {
      title: 'Horcrux',
      version,
      summary: 'Virtual machines and containers on one Linux host or many',
      description: sentences.api,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/api' }, { url: '/api/v1' }],
    security: [{ bearer: [] }, { apiKey: [] }, { session: [] }],
    tags: contracts
      .filter(({ name }) => routes.some((route) => route.contract.name === name))
      .map(({ name }) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(schemas.sort(([a], [b]) => (a < b ? -1 : 1))),
      responses: problems,
      parameters,
      headers,
      securitySchemes,
    },
  }
}

const ref = (kind: string, name: string) => ({ $ref: `#/components/${kind}/${name}` })

const insideOf = ({ canInside }: Route['action']) =>
  canInside ? ` With \`${/\{(\w+)\}/.exec(canInside)?.[1] ?? ''}\` it needs instead: ${canInside}.` : ''

function operationOf(route: Route, plain: (schema: TSchema) => unknown): Json {
  const { name, method, action, contract, path } = route
  const { fields, body } = fieldsOf(route, plain)
  const change = isChange(action)
  const own = [
    ...(isChange(action) ? ['IdempotencyKey'] : []),
    ...(change && path.includes('{') ? ['IfMatch'] : []),
    ...(method === 'GET' ? ['IfNoneMatch'] : []),
    ...(isOperation(action) ? ['Prefer'] : []),
    ...(change && action.plan ? ['IfPlan'] : []),
  ]
  const access =
    action.can === 'anyone'
      ? 'Needs no signing in.'
      : `Needs: ${action.can === 'signed-in' ? 'to be signed in' : action.can}.${insideOf(action)}`
  const itemAccess =
    'itemAccess' in action && action.itemAccess ? ` Shows what the caller has ${action.itemAccess} for.` : ''
  return {
    operationId: name,
    summary: action.does,
    description: `${access}${itemAccess}`,
    tags: [contract.name],
    ...(action.can === 'anyone' && { security: [{}] }),
    parameters: [...fields, ...own.map((parameter) => ref('parameters', parameter))],
    ...(body && { requestBody: body }),
    responses: responsesOf(route, plain),
  }
}

/**
 * Splits the parameters: those named in the path, and the rest as query (of a question or a DELETE) or body. A secret has no
 * place in an address, which is kept in logs and histories: a DELETE with one has a body.
 */
function fieldsOf({ method, path, action }: Route, plain: (schema: TSchema) => unknown) {
  const properties = propertiesOf(action.params)
  const branches = branchesOf(action.params)
  const inPath = new Set([...path.matchAll(/\{(\w+)\}/g)].map(([, key]) => key))
  const rest = Object.entries(properties).filter(([key]) => !inPath.has(key))
  const neededIn = ({ required = [] }: (typeof branches)[number]) => required.filter((key) => !inPath.has(key))
  const needed = branches.flatMap(neededIn)
  const shown = (of: TProperties) => {
    const marked = withSecrets({ properties: withUnits(of, plain) }, action.secret, { writeOnly: true })
    return (marked as { properties: Record<string, Json> }).properties
  }
  const all = shown(properties)
  const parameter = (where: string) => {
    return ([key]: [string, TSchema]) => {
      const { description, ...shape } = all[key]!
      const isRequired = where === 'path' || (needed.includes(key) && !('default' in shape))
      return {
        name: key,
        in: where,
        required: isRequired,
        ...(description !== undefined && { description }),
        schema: shape,
      }
    }
  }
  const fields = Object.entries(properties)
    .filter(([key]) => inPath.has(key))
    .map(parameter('path'))
  const isQuery = method === 'GET' || (method === 'DELETE' && action.secret === undefined)
  if (isQuery) return { fields: [...fields, ...rest.map(parameter('query'))] }
  if (rest.length === 0) return { fields }
  const bodies = branches.map((branch) => {
    const own = Object.entries(branch.properties ?? {}).filter(([key]) => !inPath.has(key))
    return asSent({
      type: 'object',
      properties: shown(Object.fromEntries(own)),
      required: neededIn(branch),
      additionalProperties: false,
    }) as Json
  })
  const [only] = bodies
  const schema = 'anyOf' in action.params ? { anyOf: bodies } : only
  const isRequired = bodies.every((body) => 'required' in body)
  return { fields, body: { required: isRequired, content: { 'application/json': { schema } } } }
}

/** Makes a schema of a request: fields with a default are optional, at any depth. */
function asSent(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(asSent)
  if (typeof schema !== 'object' || schema === null) return schema
  const { required, ...rest } = schema as Json
  const properties = (rest['properties'] ?? {}) as Record<string, Json>
  const asked = Array.isArray(required) ? required.filter((key: string) => !('default' in (properties[key] ?? {}))) : []
  const inner = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, asSent(value)]))
  return asked.length > 0 ? { ...inner, required: asked } : inner
}

function responsesOf({ name, action, method, path }: Route, plain: (schema: TSchema) => unknown): Json {
  const common = commonHeaders
  const json = (schema: TSchema) => ({ 'application/json': { schema: withSecrets(plain(schema), action.secret) } })
  const errors = ['400', '401', '403', '404', '409', '412', '413', '422', '429', '500', '503'].filter((status) => {
    if (status === '401') return action.can !== 'anyone' || guessable.has(name)
    if (status === '403') return action.can !== 'anyone'
    if (status === '413') return method !== 'GET'
    // A resource that the parameters name may be missing.
    if (status === '404') return !isList(action) || path.includes('{')
    return isChange(action) || (status !== '409' && status !== '412')
  })
  const problem = Object.fromEntries(errors.map((status) => [status, ref('responses', `E${status}`)]))
  if (isOperation(action)) {
    const accepted = { ...common, Location: ref('headers', 'Location'), ETag: ref('headers', 'ETag') }
    const ended = 'It has succeeded within the time that `Prefer: wait` gave it'
    const done = { description: ended, headers: common, content: json(Operation) }
    const { plan } = action
    const either = { schema: { anyOf: [plain(Operation), ...(plan ? [plain(plan)] : [])] } }
    const orPlan = {
      ...done,
      description: `${ended}; with plan=true: the plan`,
      content: { 'application/json': either },
    }
    return {
      200: plan ? orPlan : done,
      202: { description: 'Accepted; the operation goes on by itself', headers: accepted, content: json(Operation) },
      ...problem,
    }
  }
  const isNothing = (action.result as { type?: string }).type === 'null'
  if (isNothing) return { [action.status ?? 204]: { description: 'Done', headers: common }, ...problem }
  const headersOf = { ...common, ETag: ref('headers', 'ETag') }
  const lines = isList(action) && {
    'application/x-ndjson': { schema: { type: 'string', description: sentences.lines } },
  }
  const content = { ...json(action.result), ...lines }
  return {
    [action.status ?? 200]: { description: action.does, headers: headersOf, content },
    ...(method === 'GET' && { 304: { description: 'Unchanged' } }),
    ...problem,
  }
}

/** The schemas that have a name: errors, operations, and what each contract's `get` answers, `vms.get` a Vm. */
function componentNames(contracts: readonly Contract[]): Map<object, string> {
  const names = new Map<object, string>([
    [ApiError, 'Error'],
    [Operation, 'Operation'],
  ])
  for (const { name, actions } of contracts) {
    const result = actions['get']?.result
    if (!result || names.has(result)) continue
    const singular = name.replace(/ies$/, 'y').replace(/s$/, '')
    names.set(
      result,
      singular.replaceAll(/(?:^|-)(\w)/g, (_, letter: string) => letter.toUpperCase()),
    )
  }
  return names
}

/** Converts a schema to plain JSON: named schemas become references, keywords of our own validation are left out. */
function withRefs(value: unknown, names: Map<object, string>, isTop = false): unknown {
  if (Array.isArray(value)) return value.map((item) => withRefs(item, names))
  if (typeof value !== 'object' || value === null) return value
  const name = isTop ? undefined : names.get(value)
  if (name !== undefined) return ref('schemas', name)
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== 'errorMessage')
      .map(([key, inner]) => {
        const plain = (schema: unknown) => withRefs(schema, names)
        return [key, key === 'properties' ? withUnits(inner as TProperties, plain) : plain(inner)]
      }),
  )
}
