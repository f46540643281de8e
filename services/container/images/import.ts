import { Readable } from 'node:stream'
import type { Params } from '#shared/contract/contract.ts'
import type { Image, images } from '#shared/contracts/container/images.ts'
import { ConflictError, type Violation } from '#shared/errors.ts'
import { allowedPath } from '#shared/nodes/host/allowed-path.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { operation } from '#shared/operation/kinds.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { imageAt, imagesOf } from './find.ts'
import { type Before, namedNow, restoreNames } from './names.ts'
import { nameKeyOf } from './pull.ts'

type Given = Params<typeof images, 'import'>
type Input = Pick<Given, 'node' | 'runtime' | 'kind' | 'path'> & { name: string | null; before: Before }

/** Some engines make an image of any file. */
async function isTar(host: Host, path: string): Promise<boolean> {
  // It reads no more than the first entry.
  const words = ['--list', '--occurrence=1', '--wildcards', `--file=${path}`, '*']
  const { code, stdout } = await host.run('tar', words)
  return code === 0 && stdout !== ''
}

/** The real path of an archive. */
async function archiveAt({ host, node }: Reached, path: string, violations: Violation[]): Promise<string | undefined> {
  const real = await checking('path', violations, () => allowedPath(host, path, node, 'path'))
  if (real === undefined) return undefined
  const found = await host.stat(real)
  if (!found) violations.push({ field: 'path', code: 'not_found', message: `'${real}' is not on the node` })
  else if (found.kind === 'file' && (await isTar(host, real))) return real
  else violations.push({ field: 'path', code: 'invalid', message: 'must be a tar archive' })
  return undefined
}

/** Reads a file from its first demand on: a program that has ended before that would have been read in vain. */
async function* bytesOf(host: Host, path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const reading = await host.spawn('cat', [path], { signal })
  try {
    yield* reading.stdout as AsyncIterable<Buffer>
    const { code, stderr } = await reading.exit
    if (code !== 0) throw new ConflictError(`'${path}' could not be read: ${stderr.trim()}`)
  } finally {
    await reading.kill()
  }
}

export const importImage = operation({
  accept: async (given: Given, { reserve }): Promise<Input> => {
    const { node, runtime, kind } = given
    const violations: Violation[] = []
    const driver = await checking('runtime', violations, async () => imagesOf(runtime))
    const reached = await checking('node', violations, () => reach(node))
    const path = reached && (await archiveAt(reached, given.path, violations))
    const inside = driver && path !== undefined && kind === 'image' ? await driver.namesIn(reached!, path) : []
    if (inside === null)
      violations.push({ field: 'path', code: 'invalid', message: 'is no archive of an image of this engine' })
    const name = given.name === undefined ? null : (driver?.nameOf(given.name) ?? given.name)
    const names = [...new Set([...(inside ?? []), ...(name === null ? [] : [name])])]
    if (names.length === 0 && inside !== null)
      violations.push({ field: 'name', code: 'required', message: 'is required: the archive has no name' })
    throwAll(violations)
    for (const name of names) await reserve(nameKeyOf(node, runtime, name))
    const before = await namedNow(driver!, reached!, names)
    return { node, runtime, kind, path: path!, name, before }
  },
  run: async (op, { node, runtime, kind, path, name, before }): Promise<Image> => {
    const driver = imagesOf(runtime)
    const work = async () => {
      const reached = await reach(node)
      const { sizeBytes: bytes } = (await reached.host.stat(path)) ?? { sizeBytes: 0 }
      const archive = { source: Readable.from(bytesOf(reached.host, path, op.signal)), bytes }
      return driver.load(reached, kind, archive, name, { signal: op.signal, progress: op.progress })
    }
    const engineId = await op.step('importing image', work, {
      undo: async () => restoreNames(driver, await reach(node), before),
    })
    return imageAt({ reached: await reach(node), runtime }, engineId)
  },
})
