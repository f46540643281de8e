import { promisify } from 'node:util'
import { zstdCompress, zstdDecompress } from 'node:zlib'
import { reach } from '#shared/nodes/nodes.ts'
import type { Guest } from '../../guest.ts'
import { filesUnder } from './kept-state.ts'

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)
/** More than any UEFI variables and TPM state have. */
const mostBytes = 64 * 2 ** 20

type Packed = { variables?: string; tpm?: string }

/** Packs the state that is kept under a key; null when there is none. The definition, which may have passwords, is left out. */
export async function pack({ node }: Pick<Guest, 'node'>, key: string): Promise<Buffer | null> {
  const reached = await reach(node)
  const { host } = reached
  const files = filesUnder(reached, key)
  const packed: Packed = {}
  for (const name of ['variables', 'tpm'] as const)
    if (await host.stat(files[name])) packed[name] = (await host.readFile(files[name])).toString('base64')
  return Object.keys(packed).length === 0 ? null : compress(JSON.stringify(packed))
}

/** Keeps a packed state under a key, from which `restoreState` gives it to a guest. */
export async function unpack({ node }: Pick<Guest, 'node'>, key: string, bytes: Uint8Array): Promise<void> {
  const reached = await reach(node)
  const { host } = reached
  const files = filesUnder(reached, key)
  const packed = JSON.parse((await decompress(bytes, { maxOutputLength: mostBytes })).toString('utf8')) as Packed
  await host.mkdir(files.folder, { mode: 0o711 })
  for (const name of ['variables', 'tpm'] as const) {
    const content = packed[name]
    if (content !== undefined) await host.writeFile(files[name], Buffer.from(content, 'base64'), { mode: 0o600 })
  }
}
