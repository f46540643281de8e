import type { Params, Result } from '#shared/contract/contract.ts'
import type { AppliancePart, appliances } from '#shared/contracts/storage/appliances.ts'
import { ConflictError } from '#shared/errors.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import type { Part } from '../images/complete-image.ts'
import { inspectImage } from '../images/images.ts'
import { digestsOf, readArchive } from '../images/ova.ts'
import { asViolation, setState } from '../uploads/complete.ts'
import { type OpenAppliance, openAppliance, type Source } from './open.ts'

type Given = Params<typeof appliances, 'check'>
/** A file with its place. */
type Place = { upload: string; path: string; part: Part }

export const uploadsOf = ({ upload, files }: Source): string[] => [upload, ...files.map((file) => file.upload)]

const setAll = async (source: Source, state: 'receiving' | 'completing') => {
  for (const upload of uploadsOf(source)) await setState(upload, state)
}

/** Compares files beside a descriptor with their manifest. @throws ConflictError for one that is missing or another */
async function requireManifest({ host, main, files }: OpenAppliance, signal: AbortSignal): Promise<void> {
  const manifests = [...files].filter(([name]) => /\.mf$/i.test(name))
  for (const [, manifest] of manifests) {
    const { stdout } = await host.runChecked('head', ['-c', String(2 ** 20), '--', manifest.path])
    for (const { kind, name, digest } of digestsOf(stdout)) {
      const file = /\.ovf$/i.test(name) ? main : files.get(name)
      if (!file) throw new ConflictError(`the file '${name}' is missing, which the manifest names`)
      const found = await host.runChecked(`${kind}sum`, ['--', file.path], { timeoutMs: Infinity, signal })
      if (/^\\?([0-9a-f]+) /.exec(found.stdout)?.[1] !== digest)
        throw new ConflictError(`the file '${name}' is damaged: it has not the digest of the manifest`)
    }
  }
}

/** Reads all files once. @returns the place of each by its name */
async function placesOf(op: Op, opened: OpenAppliance): Promise<Map<string, Place>> {
  const { host, main, isArchive, files } = opened
  const { signal } = op
  if (!isArchive) {
    await requireManifest(opened, signal)
    const all = [...files].map(([name, { record, path }]): [string, Place] => {
      return [name, { upload: record.id, path, part: { name, offset: 0, length: record.size_bytes } }]
    })
    return new Map(all)
  }
  const total = main.record.size_bytes
  const onProgress = (done: number) => op.progress(Math.min(done, total), total, 'bytes')
  const members = await readArchive(host, main.path, { signal, onProgress })
  const all = [...members].map(([name, { offset, length }]): [string, Place] => {
    return [name, { upload: main.record.id, path: main.path, part: { name, offset, length } }]
  })
  return new Map(all)
}

/** @throws ConflictError for a disk that is missing, no image, or larger than the descriptor says */
async function checkDisks(op: Op, { pool, disks, ...source }: Given): Promise<AppliancePart[]> {
  const opened = await openAppliance({ pool, ...source })
  const places = await asViolation(opened.main.path, placesOf(op, opened))
  const parts: AppliancePart[] = []
  for (const { file, size_bytes } of disks) {
    const place = places.get(file)
    if (!place) throw new ConflictError(`The file '${file}' of a disk is missing`)
    const { upload, path, part } = place
    const image = await asViolation(path, inspectImage(opened.host, path, part))
    if (image.size_bytes > size_bytes)
      throw new ConflictError(
        `The disk in '${file}' has ${image.size_bytes} bytes; the descriptor says ${size_bytes}, and that many were planned`,
      )
    parts.push({ pool, upload, ...part, data_bytes: image.data_bytes })
  }
  return parts
}

export const check = operation({
  accept: async (given: Given): Promise<Given> => {
    await openAppliance(given)
    return given
  },
  run: async (op: Op, given): Promise<Result<typeof appliances, 'check'>> => {
    await op.step('closing', () => setAll(given, 'completing'), { undo: () => setAll(given, 'receiving') })
    return { parts: await op.step('checking', () => checkDisks(op, given)) }
  },
})

export const release = async (source: Source): Promise<null> => {
  await setAll(source, 'receiving')
  return null
}
