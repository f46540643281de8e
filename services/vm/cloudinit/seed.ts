import { dirname } from 'node:path'
import { requireCurrent } from '#shared/runtime/request-context.ts'
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
  const folder = `${path}.new.d`
  // The guest's process may run as another user, who passes through the folder.
  await host.mkdir(dirname(path), { mode: 0o711 })
  await host.mkdir(folder, { mode: 0o700 })
  for (const [name, text] of Object.entries(filesOf(seed))) await host.writeFile(`${folder}/${name}`, text)
  // It has the hash of a password in it. The hypervisor makes it readable for the guest's process only.
  await host.writeFile(`${path}.new`, '', { mode: 0o600 })
  const words = ['-quiet', '-volid', 'cidata', '-joliet', '-rock', '-output', `${path}.new`, folder]
  await host.runChecked('genisoimage', words)
  await requireCurrent()
  await host.rename(`${path}.new`, path)
  await host.remove(folder, { recursive: true })
  return path
}

/** Removes a guest's seed and the files of an interrupted {@link createSeed}; a seed that is gone is fine. */
export async function removeSeed({ id, node }: Place): Promise<void> {
  const reached = await reach(node)
  const path = seedPathOf(reached, id)
  await reached.host.remove(`${path}.new.d`, { recursive: true })
  await reached.host.remove(`${path}.new`)
  await reached.host.remove(path)
}
