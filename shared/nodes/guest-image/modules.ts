import { basename, join } from 'node:path'
import type { Host } from '../host/host.ts'

export type Module = { file: string; data: Buffer; dependsOn: string[] }

/** The modules and their dependencies, each after its dependencies. */
export async function loadOrder(host: Host, modulesFolder: string, names: string[]): Promise<Module[]> {
  const { stdout } = await host.runChecked('find', [join(modulesFolder, 'kernel'), '-name', '*.ko*'])
  const paths = new Map(stdout.split('\n').map((path) => [moduleName(path), path]))
  const ordered = new Map<string, Module>()

  async function add(name: string): Promise<void> {
    const path = paths.get(name)
    if (!path || ordered.has(name)) return
    const loaded = await readModule(host, path)
    for (const dependency of loaded.dependsOn) await add(moduleName(dependency))
    ordered.set(name, loaded)
  }

  for (const name of names) await add(moduleName(name))
  return [...ordered.values()]
}

/** Module name; the kernel treats - and _ as the same. */
function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko.*$/, '')
    .replaceAll('-', '_')
}

async function readModule(host: Host, path: string): Promise<Module> {
  const data = path.endsWith('.xz') ? (await host.runChecked('xz', ['-dc', path])).bytes : await host.readFile(path)
  // The .modinfo section: strings that end in NUL, one of them "depends=a,b".
  const depends = /(?:^|\0)depends=([^\0]*)\0/.exec(data.toString('latin1'))?.[1] ?? ''
  return { file: `${moduleName(path)}.ko`, data, dependsOn: depends.split(',').filter(Boolean) }
}
