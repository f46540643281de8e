import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const page = join(root, 'docs/import-map.md')
const begin = '<!-- import map: written by `npm run map`; do not edit by hand -->'
const end = '<!-- end of the import map -->'
const folders = ['shared', 'services', 'packages', 'tools', 'bin', 'cli']

/** The imports of each file, both as paths from the root of the repository. */
type FileGraph = Map<string, string[]>

/** A room and the rooms that it imports. `above` counts the imports of rooms that stand later in the list. */
type Room = { name: string; below: string[]; above: Map<string, number> }

function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(ts|tsx|js)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !/^packages\/[^/]+\/(test|likeness|node_modules)\//.test(path))
}

/** All imports of a file within the repository: of values, of types, by `import()`, and workers by `new URL()`. */
function importsOf(path: string): string[] {
  const text = readFileSync(join(root, path), 'utf8')
  const names = [...text.matchAll(/(?:from |import |import\(|new URL\()'([^']+)'/g)].map(([, name]) => name!)
  return names.flatMap((name) => {
    if (name.startsWith('#shared/')) return [name.slice(1)]
    const packaged = /^@horcrux\/([^/]+)/.exec(name)
    if (packaged) return [`packages/${packaged[1]!}/package.json`]
    return /^\..*\.(ts|tsx|js)$/.test(name) ? [relative(root, resolve(root, dirname(path), name))] : []
  })
}

/**
 * The rooms of shared/ from the bottom up: each imports only itself and the rooms before it. The longest name that fits a
 * file counts: `nodes/host` before `nodes`.
 */
const layers = [
  'errors.ts',
  'access',
  'contract',
  'contracts',
  'config',
  'runtime',
  'tar',
  'ids.ts',
  'schedules',
  'nodes/host',
  'nodes/engine.ts',
  'nodes/event-feed.ts',
  'nodes/libvirt/worker',
  'nodes/libvirt/connection',
  'nodes/libvirt/client',
  'nodes/libvirt',
  'nodes/lxd',
  'nodes/docker',
  'nodes/lxc',
  'nodes/simulated',
  'bus',
  'nodes',
  'events',
  'db',
  'audit',
  'operation',
  'service',
  'platform',
]

/** The place of a file or room of shared/ in the layers; -1 for others. */
export function layerOf(path: string): number {
  const inShared = path.startsWith('shared/') ? path.slice('shared/'.length) : ''
  const fits = layers.filter((name) => inShared === name || inShared.startsWith(`${name}/`))
  return layers.indexOf(fits.toSorted((a, b) => b.length - a.length)[0] ?? '')
}

/** The longest chain of imports below each file; 0 for a file that imports none. Files import each other in no circle. */
export function depthsOf(graph: FileGraph): Map<string, number> {
  const depths = new Map<string, number>()
  const depthOf = (path: string): number => {
    const known = depths.get(path)
    if (known !== undefined) return known
    depths.set(path, 0)
    const depth = (graph.get(path) ?? []).reduce((deepest, target) => Math.max(deepest, depthOf(target) + 1), 0)
    depths.set(path, depth)
    return depth
  }
  for (const path of graph.keys()) depthOf(path)
  return depths
}

/**
 * The room of a file: its folder, cut after three levels (four below `drivers`). A file that lies beside the rooms of its
 * service, or at the root of `shared`, `contracts` or `nodes`, is a row of its own. `bin` and each package are one room.
 */
export function roomOf(path: string): string {
  const parts = dirname(path).split('/')
  const [top, second, third] = parts
  if (top === 'bin') return 'bin'
  if (top === 'packages') return `packages/${second}`
  const isBesideRooms = top === 'services' ? !third : !second || (['contracts', 'nodes'].includes(second) && !third)
  if (isBesideRooms) return path
  return parts.slice(0, third === 'drivers' ? 4 : 3).join('/')
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0
}

/** The rooms from the lowest to the highest. */
export function roomsOf(graph: FileGraph): Room[] {
  const depths = depthsOf(graph)
  const files = Map.groupBy(graph.keys(), roomOf)
  const imports = new Map(
    [...files].map(([name, paths]) => [name, countsOf(paths.flatMap((path) => graph.get(path)!))]),
  )
  const heights = new Map([...files].map(([name, paths]) => [name, median(paths.map((path) => depths.get(path)!))]))
  const byHeight = [...files.keys()].toSorted((a, b) => heights.get(a)! - heights.get(b)! || (a < b ? -1 : 1))
  const unlayered = fewestUpward(byHeight, (from, to) => imports.get(from)?.get(to) ?? 0)
  // The layers of shared/ are declared; the order of all other rooms is computed.
  const order = unlayered.toSorted((a, b) => layerOrEnd(a) - layerOrEnd(b))
  const places = new Map(order.map((name, place) => [name, place]))
  return order.map((name, place) => {
    const targets = [...imports.get(name)!]
      .filter(([target]) => target !== name)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
    const isAbove = (target: string) => (places.get(target) ?? -1) > place
    const below = targets.map(([target]) => target).filter((target) => !isAbove(target))
    return { name, below, above: new Map(targets.filter(([target]) => isAbove(target))) }
  })
}

/** Packages first, then the layers of shared/, then all others. */
function layerOrEnd(room: string): number {
  if (room.startsWith('packages/')) return -1
  return layerOf(room) < 0 ? layers.length : layerOf(room)
}

/** Moves single rooms to other places, as long as that leaves fewer imports that lead up. */
function fewestUpward(start: string[], countOf: (from: string, to: string) => number): string[] {
  const order = [...start]
  for (let hasMoved = true; hasMoved;) {
    hasMoved = false
    for (const room of start) {
      const from = order.indexOf(room)
      const move = bestMove(order, from, countOf)
      if (move === from) continue
      order.splice(from, 1)
      order.splice(move, 0, room)
      hasMoved = true
    }
  }
  return order
}

/** The place at which the room has the fewest imports that lead up; of several such places the nearest. */
function bestMove(order: string[], from: number, countOf: (from: string, to: string) => number): number {
  const room = order[from]!
  let [best, saved] = [from, 0]
  for (const step of [-1, 1]) {
    let gain = 0
    for (let place = from + step; place >= 0 && place < order.length; place += step) {
      gain += step * (countOf(room, order[place]!) - countOf(order[place]!, room))
      if (gain > saved) [best, saved] = [place, gain]
    }
  }
  return best
}

/** Counts the imported files in each room. */
function countsOf(imported: string[]): Map<string, number> {
  return new Map([...Map.groupBy(imported, roomOf)].map(([room, all]) => [room, all.length]))
}

function tableOf(title: string, rooms: Room[], prefix: string): string {
  const short = (name: string) => `\`${name.replace(prefix, '').replace(/^shared\//, '')}\``
  const rows = rooms.map(({ name, below, above }) => {
    const upward = [...above].map(([target, count]) => `${short(target)} ×${count}`)
    return `| ${short(name)} | ${below.map(short).join(' ')} | ${upward.join(', ')} |`
  })
  return [`### ${title}`, '', '| room | imports | imports from above |', '| --- | --- | --- |', ...rows].join('\n')
}

function mapOf(rooms: Room[]): string {
  const services = readdirSync(join(root, 'services')).toSorted()
  const isIn = (prefix: string) => rooms.filter(({ name }) => name.startsWith(prefix))
  const arrows = rooms.reduce((sum, { below, above }) => sum + below.length + above.size, 0)
  const upward = rooms.reduce((sum, { above }) => sum + above.size, 0)
  return [
    `${rooms.length} rooms and ${arrows} arrows between them; ${upward} arrows lead up.`,
    tableOf('shared', isIn('shared/'), 'shared/'),
    ...services.map((name) => tableOf(`services/${name}`, isIn(`services/${name}/`), `services/${name}/`)),
    tableOf(
      'bin, cli, tools, packages',
      rooms.filter(({ name }) => !/^(shared|services)\//.test(name)),
      '',
    ),
  ].join('\n\n')
}

/**
 * docs/import-map.md as it is stored, and as it should be, with the current map between its marks.
 * @throws Error when the marks are missing
 */
export function importMapPage(): { stored: string; wanted: string } {
  const graph = new Map(
    folders
      .filter((folder) => existsSync(join(root, folder)))
      .flatMap(filesIn)
      .toSorted()
      .map((path) => [path, importsOf(path)]),
  )
  const stored = readFileSync(page, 'utf8')
  const [from, to] = [stored.indexOf(begin), stored.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/import-map.md lacks the lines '${begin}' and '${end}'`)
  return { stored, wanted: `${stored.slice(0, from)}${begin}\n\n${mapOf(roomsOf(graph))}\n\n${stored.slice(to)}` }
}

if (import.meta.main) writeFileSync(page, importMapPage().wanted)
