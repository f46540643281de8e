import { glob, readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { contracts } from '#shared/contracts/index.ts'
import { openApi } from '../../../services/gateway/openapi/openapi.ts'
import { routesOf } from '../../../services/gateway/rest/routes.ts'

type Json = { [key: string]: Json } & { $ref?: string }
type Parameter = { $ref?: string; name?: string; in?: string; required?: boolean; schema?: object }
type Described = { operationId: string; parameters: Parameter[]; responses: Record<string, unknown>; tags: string[] }

const document = openApi(contracts, '1.2.3') as unknown as Json
const operations = Object.entries(document['paths']!).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) =>
    Object.assign({ path, method }, described as unknown as Described),
  ),
)
const resolve = (ref: string) =>
  ref
    .slice(2)
    .split('/')
    .reduce((at, part) => at[part] as Json, document)

describe('the OpenAPI document', () => {
  test('is plain JSON of version 3.1', () => {
    expect(document['openapi']).toBe('3.1.0')
    expect(JSON.parse(JSON.stringify(document))).toEqual(document)
    expect(JSON.stringify(document)).not.toContain('errorMessage')
  })
  test('describes every route of the contracts and those that are streams or files, each once', () => {
    const streams = [
      'consoles.cast',
      'consoles.socket',
      'consoles.viewerFile',
      'events.socket',
      'events.stream',
      'uploads.write',
      'volume-downloads.download',
      'backup-files.download',
      'container-streams.socket',
      'containers.followLogs',
      'container-streams.getFiles',
      'container-streams.putFiles',
      'container-streams.export',
      'container-streams.exportImage',
      'container-streams.uploadImage',
    ]
    expect(operations.map(({ operationId }) => operationId).sort()).toEqual(
      [...routesOf(contracts).map(({ name }) => name), ...streams].sort(),
    )
    expect(Object.keys(document['paths']!)).toEqual(
      expect.arrayContaining([
        '/events',
        '/ws',
        '/console/{vm_id}/vv',
        '/console/{vm_id}/websocket',
        '/console/{vm_id}/recordings/{recording_id}/cast',
      ]),
    )
  })
  test('has the routes that the gateway adds without a contract', async () => {
    const added = /\.(get|post|put|patch|delete)\(\s*'\/api(\/[^']*)'/g
    const found: string[] = []
    for await (const file of glob('services/gateway/**/*.ts'))
      for (const [, method, path] of (await readFile(file, 'utf8')).matchAll(added))
        found.push(`${method} ${path!.replaceAll(/:(\w+)/g, '{$1}')}`)
    const described = operations.map(({ method, path }) => `${method} ${path}`)
    expect(found.filter((route) => !described.includes(route))).toEqual(['get /openapi.json'])
    expect(found).toContain('get /console/{vm_id}/websocket')
  })
  test('names the answers that come before an action is asked, and how much is left of the limit', () => {
    const answersOf = (path: string, method: string) => document['paths']![path]![method]!['responses']!
    for (const path of ['/auth/login', '/auth/setup']) expect(answersOf(path, 'post')).toHaveProperty('401')
    expect(answersOf('/vms', 'post')).toHaveProperty('413')
    expect(answersOf('/vms', 'get')).not.toHaveProperty('413')
    const counted = ['X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset']
    expect(Object.keys(answersOf('/vms', 'get')['200']!['headers']!)).toEqual(expect.arrayContaining(counted))
    expect(Object.keys(document['components']!['responses']!['E429']!['headers']!)).toEqual(
      expect.arrayContaining(counted),
    )
  })
  test('has no reference to a missing schema', () => {
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"(#[^"]*)"/g)].map(([, ref]) => ref!)
    expect(refs.length).toBeGreaterThan(100)
    for (const ref of refs) expect(resolve(ref), ref).toBeDefined()
  })
  test.each(operations)('$operationId has a path, parameters and answers that fit together', (described) => {
    const { path, parameters, responses, tags, method } = described
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, key]) => key)
    const named = parameters.filter((parameter) => parameter.in === 'path')
    expect(named.map(({ name }) => name).sort()).toEqual(inPath.toSorted())
    expect(named.every(({ required }) => required)).toBe(true)
    expect(new Set(parameters.map((parameter) => parameter.$ref ?? `${parameter.in} ${parameter.name}`)).size).toBe(
      parameters.length,
    )
    expect(tags).toHaveLength(1)
    expect(Object.keys(responses).some((status) => /^2|^101$/.test(status))).toBe(true)
    if (path !== '/ws') expect(responses).toHaveProperty('422')
    if (method === 'put' || method === 'delete') expect(responses).toHaveProperty('409')
  })
  test('says how to sign in, and where that is not needed', () => {
    expect(Object.keys(document['components']!['securitySchemes']!)).toEqual(['bearer', 'apiKey', 'session'])
    const login = document['paths']!['/auth/login']!['post']!
    expect(login['security']).toEqual([{}])
  })
  test('says the unit of every number that has one, and the columns of lists', () => {
    const vm = document['components']!['schemas']!['Vm']!
    expect(vm['properties']!['memory']).toMatchObject({ 'x-unit': 'MiB' })
    expect(vm['x-columns']).toContain('status')
    const page = document['paths']!['/vms']!['get']!['responses']!['200']!['content']!['application/json']!['schema']!
    expect(page['properties']!['data']!['items']!['x-columns']).toEqual(vm['x-columns'])
    // By its name alone.
    expect(document['components']!['schemas']!['Volume']!['properties']!['size_bytes']).toMatchObject({
      'x-unit': 'bytes',
    })
  })
  test('marks every secret of an action, and no other field', () => {
    const marked = (value: unknown, path: string[] = []): string[] => {
      if (typeof value !== 'object' || value === null) return []
      const own = 'x-secret' in value ? [path.join('.')] : []
      return [
        ...own,
        ...Object.entries(value).flatMap(([key, inner]) =>
          marked(inner, key === 'properties' || key === 'anyOf' || /^\d+$/.test(key) ? path : [...path, key]),
        ),
      ]
    }
    for (const { name, action, path, method } of routesOf(contracts)) {
      const described = document['paths']![path]![method.toLowerCase()]!
      const body = described['requestBody']?.['content']!['application/json']!['schema']
      const answer = described['responses']!['200'] ?? described['responses']!['201']
      expect(JSON.stringify(described['parameters']), `${name}: a secret in the address`).not.toContain('x-secret')
      const found = [...marked(body), ...marked(answer?.['content']?.['application/json']?.['schema'])]
      expect(new Set(found), name).toEqual(new Set(action.secret ?? []))
    }
  })
})
