import type { Params } from '#shared/contract/contract.ts'
import type { appliances } from '#shared/contracts/storage/appliances.ts'
import { ConflictError, type Violation } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { readRange } from '../images/complete-image.ts'
import { headBytes, isTar } from '../images/image-format.ts'
import { descriptorIn } from '../images/ova.ts'
import { fileOf, requireUpload, type UploadRecord } from '../uploads/model.ts'

export type Source = Params<typeof appliances, 'read'>
type File = { record: UploadRecord; path: string }
/** Uploaded files of a virtual machine, all on one node. `files`: by their names in the descriptor. */
export type OpenAppliance = { host: Host; node: string; main: File; isArchive: boolean; files: Map<string, File> }

/** The largest descriptor. Real ones have some hundred lines. */
const mostDescriptorBytes = 2 ** 20

async function requireComplete(pool: string, upload: string): Promise<UploadRecord> {
  const record = await requireUpload(pool, upload)
  const { received_bytes, size_bytes } = record
  if (received_bytes === size_bytes) return record
  throw new ConflictError(`Upload '${upload}' has ${received_bytes} of ${size_bytes} bytes`)
}

/** @throws ValidationError with everything that is wrong with the uploads */
export async function openAppliance({ pool, upload, files }: Source): Promise<OpenAppliance> {
  const violations: Violation[] = []
  const main = await checking('upload', violations, () => requireComplete(pool, upload))
  const others = new Map<string, File>()
  const seen = new Set([upload])
  for (const [index, { name, upload: id }] of files.entries()) {
    const field = `files.${index}`
    const say = (code: string, message: string) => violations.push({ field, code, message })
    if (others.has(name)) say('taken', `the name '${name}' is given twice`)
    if (seen.has(id)) say('taken', `the upload '${id}' is given twice`)
    seen.add(id)
    const record = await checking(field, violations, () => requireComplete(pool, id))
    if (record && main && record.node !== main.node)
      say('unreachable', `it is on node '${record.node}', the descriptor on '${main.node}'`)
    if (record) others.set(name, { record, path: (await fileOf(record)).path })
  }
  throwAll(violations)
  const { host, path } = await fileOf(main!)
  const isArchive = isTar(await readRange(host, path, { offset: 0, length: headBytes }))
  if (isArchive && files.length > 0)
    throwAll([{ field: 'files', code: 'unsupported', message: 'an OVA has its files in it' }])
  return { host, node: main!.node, main: { record: main!, path }, isArchive, files: others }
}

/** The text of the descriptor. @throws ConflictError for a file that is none, and no archive of one */
export async function descriptorOf({ host, main, isArchive }: OpenAppliance, signal: AbortSignal): Promise<string> {
  const { path, record } = main
  if (isArchive) return descriptorIn(host, path, signal)
  if (record.size_bytes > mostDescriptorBytes)
    throw new ConflictError(
      `${path} is neither an OVA nor a descriptor: it is no tar archive, and has ${record.size_bytes} bytes`,
    )
  return (await readRange(host, path, { offset: 0, length: record.size_bytes })).toString('utf8')
}
