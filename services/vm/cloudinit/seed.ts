import { basename, dirname } from 'node:path'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { makeFile, removeAsides, removeFile } from '#shared/nodes/host/made-files.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { yamlOf } from './yaml.ts'

/** The documents of a NoCloud seed. */
export type Seed = { metaData: object; userData: object; networkConfig: object }

/** The files of a seed, by their names. */
export const filesOf = ({ metaData, userData, networkConfig }: Seed) => ({
  'meta-data': yamlOf(metaData),
  'user-data': `#cloud-config\n${yamlOf(userData)}`,
  'network-config': yamlOf(networkConfig),
})

type Place = { id: string; node: string }

/** The path of the ISO with a guest's cloud-init seed, on its node. */
export const seedPathOf = ({ node }: Pick<Reached, 'node'>, id: string) => `${node.state_dir}/seeds/${id}.iso`

/**
 * Makes the ISO of a guest's cloud-init seed (data source NoCloud, label `cidata`), in the place of one that is there.
 * May be repeated; {@link removeSeed} undoes it, whole or half done.
 * @returns its path on the node
 */
export async function createSeed({ id, node }: Place, seed: Seed): Promise<string> {
  const reached = await reach(node)
  const { host } = reached
  const path = seedPathOf(reached, id)
  // The guest's process may run as another user, who passes through the folder.
  await host.mkdir(dirname(path), { mode: 0o711 })
  // It has the hash of a password in it. The hypervisor makes it readable for the guest's process only.
  const write = async (aside: string) => {
    const folder = folderOf(aside)
    await host.mkdir(folder, { mode: 0o700 })
    for (const [name, text] of Object.entries(filesOf(seed))) await host.writeFile(`${folder}/${name}`, text)
    const words = ['-quiet', '-volid', 'cidata', '-joliet', '-rock', '-output', aside, folder]
    await host.runChecked('genisoimage', words)
    await host.remove(folder, { recursive: true })
  }
  if (!(await makeFile(host, path, write, { isReplacing: true })))
    throw new ConflictError(`${path} on ${host.describe()} is written by others all the time`, { retryable: true })
  return path
}

/** The folder with the documents of a seed that is made at a path. */
const folderOf = (aside: string) => `${aside}.d`

/** Removes a guest's seed and the files of an interrupted {@link createSeed}; a seed that is gone is fine. */
export async function removeSeed({ id, node }: Place): Promise<void> {
  const reached = await reach(node)
  const path = seedPathOf(reached, id)
  for (const folder of await leftIn(reached.host, path)) await reached.host.remove(folder, { recursive: true })
  await removeAsides(reached.host, path)
  await removeFile(reached.host, path)
}

/** The folders with documents that interrupted tries have left. */
async function leftIn(host: Host, path: string): Promise<string[]> {
  const files = await host.list(dirname(path)).catch((error: unknown) => {
    if (error instanceof NotFoundError) return []
    throw error
  })
  const isLeft = ({ name }: { name: string }) => name.startsWith(`${basename(path)}.`) && name.endsWith('.new.d')
  return files.filter(isLeft).map(({ name }) => `${dirname(path)}/${name}`)
}
