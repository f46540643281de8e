import { dirname } from 'node:path'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { domainXml } from '#shared/nodes/libvirt/client/domain.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { Guest } from '../../guest.ts'
import type { KeptState, Snapshots } from '../../parts.ts'
import { definitionOf, variablesIn } from '../files.ts'
import { parseXml } from '../xml/xml.ts'
import { hasEmulatedTpm } from '../host/host-state.ts'
import { unlessMissing } from '../state.ts'

/** The folder of all that is kept of a guest beside its disks, under one key. */
const folderOf = ({ node }: Pick<Reached, 'node'>, key: string) => `${node.state_dir}/snapshots/${key}`

export const filesUnder = (reached: Pick<Reached, 'node'>, key: string) => {
  const folder = folderOf(reached, key)
  return {
    folder,
    definition: `${folder}/definition.xml`,
    variables: `${folder}/variables.fd`,
    tpm: `${folder}/tpm.tar`,
    memory: `${folder}/memory`,
  }
}

/** libvirt's folder for the state of a domain's TPM (swtpm). */
const tpmFolderOf = ({ handle }: Pick<Guest, 'handle'>) => `/var/lib/libvirt/swtpm/${handle}`

/** Copies a file; it is complete, and on the disk, when it has its name. */
async function copyWhole(host: Host, from: string, to: string): Promise<void> {
  await host.runChecked('cp', ['--preserve=mode,ownership', '--', from, `${to}.new`])
  await host.runChecked('sync', ['--', `${to}.new`])
  await host.rename(`${to}.new`, to)
}

/** Keeps the definition of a guest. @returns the files and folders with state that changes while it runs */
async function keepDefinitionIn(reached: Reached, guest: Guest, key: string) {
  const { host } = reached
  const files = filesUnder(reached, key)
  // QEMU writes the memory into it as another user.
  await host.mkdir(files.folder, { mode: 0o711 })
  const xml = await unlessMissing(
    () => domainXml(libvirtOf(reached), guest.handle, { inactive: true, secure: true }),
    null,
  )
  // It may have passwords.
  if (xml !== null) await host.writeFile(files.definition, xml, { mode: 0o600 })
  const domain = xml === null ? await definitionOf(reached, guest) : parseXml(xml)
  const variables = domain && variablesIn(domain)
  const tpm = domain && hasEmulatedTpm(domain) ? tpmFolderOf(guest) : null
  const isThere = async (path: string | null) => path !== null && (await host.stat(path)) !== null
  const [hasVariables, hasTpm] = await Promise.all([isThere(variables), isThere(tpm)])
  return { files, variables: hasVariables ? variables : null, tpm: hasTpm ? tpm : null }
}

export async function keepDefinition(guest: Guest, key: string): Promise<boolean> {
  const { variables, tpm } = await keepDefinitionIn(await reach(guest.node), guest, key)
  return variables !== null || tpm !== null
}

export async function keepState(guest: Guest, key: string): Promise<KeptState> {
  const reached = await reach(guest.node)
  const { host } = reached
  const { files, variables, tpm } = await keepDefinitionIn(reached, guest, key)
  if (variables !== null) await copyWhole(host, variables, files.variables)
  if (tpm !== null) {
    await host.runChecked('tar', ['-C', tpm, '-cf', `${files.tpm}.new`, '.'])
    await host.rename(`${files.tpm}.new`, files.tpm)
  }
  const { memory_bytes: _, ...state } = await kept(guest, key)
  return state
}

export const kept: Snapshots['kept'] = async ({ node }, key) => {
  const reached = await reach(node)
  const files = filesUnder(reached, key)
  const [definition, variables, tpm, memory] = await Promise.all(
    [files.definition, files.variables, files.tpm, files.memory].map((path) => reached.host.stat(path)),
  )
  return {
    bytes: [definition, variables, tpm].reduce((sum, file) => sum + (file?.sizeBytes ?? 0), 0),
    has_variables: variables !== null,
    has_tpm: tpm !== null,
    memory_bytes: memory?.sizeBytes ?? null,
  }
}

export async function restoreState(guest: Guest, key: string): Promise<void> {
  const reached = await reach(guest.node)
  const { host } = reached
  const files = filesUnder(reached, key)
  const domain = await definitionOf(reached, guest)
  const variables = domain && variablesIn(domain)
  if (typeof variables === 'string' && (await host.stat(files.variables))) {
    await host.mkdir(dirname(variables), { mode: 0o711 })
    await copyWhole(host, files.variables, variables)
  }
  if (domain && hasEmulatedTpm(domain) && (await host.stat(files.tpm))) {
    await host.mkdir(tpmFolderOf(guest), { mode: 0o711 })
    await host.runChecked('tar', ['-C', tpmFolderOf(guest), '--recursive-unlink', '-xpf', files.tpm])
  }
}

export async function drop(guest: Guest, key: string): Promise<void> {
  const reached = await reach(guest.node)
  await reached.host.remove(folderOf(reached, key), { recursive: true })
}
