import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { layerOf } from '../../tools/import-map.ts'

const root = resolve(import.meta.dirname, '../..')
const skipped = new Set(['node_modules', '.git', 'data', 'coverage'])

function sourcesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return skipped.has(entry.name) ? [] : sourcesIn(path)
    return /\.tsx?$/.test(entry.name) ? [path] : []
  })
}

const product = ['shared', 'services', 'bin', 'cli', 'tools', 'packages/embedded-store/src'].flatMap(sourcesIn)
const textOf = (path: string) => readFileSync(join(root, path), 'utf8')

/** What a file imports of the project, as paths from its root. */
const importsOf = (path: string) =>
  [...textOf(path).matchAll(/(?:from|import\()\s*'([^']+)'/g)]
    .map(([, name]) => name!)
    .flatMap((name) => {
      if (name.startsWith('#shared/')) return [name.replace('#shared/', 'shared/')]
      return name.startsWith('.') ? [relative(root, resolve(root, dirname(path), name))] : []
    })

const outside = (allowed: RegExp, paths: string[]) => paths.filter((path) => !allowed.test(path))
const breaking = (of: RegExp, mayImport: RegExp) =>
  product
    .filter((path) => of.test(path))
    .flatMap((path) =>
      importsOf(path)
        .filter((name) => !mayImport.test(name))
        .map((name) => `${path} imports ${name}`),
    )

test('a service imports shared code and its own files, never another service', () => {
  const services = readdirSync(join(root, 'services'))
  for (const service of services)
    expect(breaking(new RegExp(`^services/${service}/`), new RegExp(`^(shared|services/${service})/`))).toEqual([])
})

test('shared code imports no service', () => {
  expect(breaking(/^shared\//, /^shared\//)).toEqual([])
})

test('contracts import nothing of the server', () => {
  const allowed =
    /^shared\/(contracts\/|contract\/(contract|query-language|audit-kinds|hints)\.ts|access\/privileges\.ts)/
  expect(breaking(/^shared\/contracts\//, allowed)).toEqual([])
})

test('the command line imports nothing of the server at run time', () => {
  const allowed = /^(cli\/|bin\/(server-commands|bootstrap)\.js$|bin\/nearest-word\.ts$)/
  expect(breaking(/^cli\//, allowed)).toEqual([])
})

test('each room of shared/ imports only the rooms below it', () => {
  const files = product.filter((path) => path.startsWith('shared/'))
  expect(files.filter((path) => layerOf(path) < 0)).toEqual([])
  const upwards = files.flatMap((path) =>
    importsOf(path)
      .filter((name) => layerOf(name) > layerOf(path))
      .map((name) => `${path} imports ${name}`),
  )
  expect(upwards).toEqual([])
})

test('no file imports itself through others, not even for a type', () => {
  // Files of the embedded store that are about to be deleted still do.
  const files = product.filter((path) => !path.startsWith('packages/'))
  const imported = new Map(files.map((path) => [path, importsOf(path)]))
  const done = new Set<string>()
  const circles: string[] = []
  const follow = (path: string, trail: string[]): void => {
    if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(' > '))
    if (trail.includes(path) || done.has(path)) return
    for (const next of imported.get(path) ?? []) follow(next, [...trail, path])
    done.add(path)
  }
  for (const path of files) follow(path, [])
  expect(circles).toEqual([])
})

test('only shared/nodes/host starts processes or opens SSH', () => {
  const starting = product.filter((path) => /from '(node:child_process|ssh2)'/.test(textOf(path)))
  expect(outside(/^((shared\/nodes\/host|bin)\/|cli\/(commands\/open|apply\/edit)\.ts$)/, starting)).toEqual([])
})

test('only the operation engine opens its documents', () => {
  const opening = product.filter((path) => /\boperationModel\b/.test(textOf(path)))
  expect(outside(/^shared\/operation\//, opening)).toEqual([])
})

test('classes of errors that callers can act on stand only in shared/errors.ts', () => {
  const declaring = product.filter((path) =>
    /class \w+ extends (AppError|\w*(Unavailable|Conflict|NotFound)Error)\b/.test(textOf(path)),
  )
  expect(outside(/^shared\/errors\.ts$/, declaring)).toEqual([])
})

test('the embedded store imports nothing of the product', () => {
  expect(breaking(/^packages\//, /^packages\//)).toEqual([])
})

test('only shared/config/config.ts and the settings file of the embedded store read the environment', () => {
  const reading = product.filter((path) => /process\.env\b/.test(textOf(path)))
  // bin/ hands the environment on; the client has settings of its own.
  const allowed = /^(shared\/config\/|packages\/embedded-store\/src\/settings\.ts|bin\/|cli\/environment\.ts)/
  expect(outside(allowed, reading)).toEqual([])
})

test('only shared/nodes/libvirt touches libvirt', () => {
  const touching = product.filter((path) => /from 'koffi'/.test(textOf(path)))
  expect(outside(/^shared\/nodes\/libvirt\//, touching)).toEqual([])
})

test('every HTTP route comes from the contracts, except health, pages and event streams', () => {
  const registering = product.filter((path) =>
    /\b\w+\.(get|post|put|patch|delete|all|route)\(\s*(\{$|'\/)/m.test(textOf(path)),
  )
  const gateway = registering
    .filter((path) => path.startsWith('services/'))
    .map((path) => path.slice('services/'.length))
  // Whatever else is served must see to it itself who may; here it is decided that it may do so.
  const known = [
    'console/consoles.ts',
    'console/files.ts',
    'events/sse.ts',
    'events/websocket/route.ts',
    'health.ts',
    'pages/page-files.ts',
    'pages/pages.ts',
    'rest/routes.ts',
    'rest/uploads.ts',
    'streams/backup-files.ts',
    'streams/files.ts',
    'streams/log-stream.ts',
    'streams/sockets.ts',
    'streams/volume-downloads.ts',
  ].map((file) => `gateway/${file}`)
  expect(gateway.toSorted()).toEqual(known)
})

test('no file is longer than 300 lines', () => {
  const long = [
    ...product,
    ...[
      'web',
      'test',
      'bench',
      'packages/embedded-store/test',
      'packages/embedded-store/likeness',
      'packages/embedded-store/bench',
    ].flatMap(sourcesIn),
  ].filter((path) => textOf(path).split('\n').length > 301)
  expect(long).toEqual([])
})

/** Writes into the store and changes of engines are refused to a call that is late (ADR 0014): by the mechanism, not by care. */
test('a service writes into the store only by ways that refuse a late call', () => {
  const writing = /\b(insert|insertIfNew|update|findAndUpdate|replace|findAndRemove|removeOne|removeAll)\b/
  const unguarded = product
    .filter((path) => path.startsWith('services/'))
    .filter((path) =>
      [...textOf(path).matchAll(/import \{([^}]*)\} from '#shared\/db\/commands.ts'/g)].some(([, names]) =>
        writing.test(names!),
      ),
    )
  expect(unguarded).toEqual([])
})

test('each client of an engine has the check for late calls', () => {
  const folders = new Set(
    product
      .filter((path) => /^shared\/nodes\/(?!host\/|guest-image\/)[^/]+\//.test(path))
      .map((path) => path.split('/')[2]!),
  )
  const unguarded = [...folders].filter(
    (folder) =>
      !product.some((path) => path.startsWith(`shared/nodes/${folder}/`) && /\brequireCurrent\(/.test(textOf(path))),
  )
  expect(unguarded).toEqual([])
})
