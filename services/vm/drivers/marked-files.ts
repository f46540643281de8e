import { isValid } from '#shared/contract/validate.ts'
import { Id } from '#shared/contracts/common.ts'
import { NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { markIn } from '#shared/nodes/host/made-files.ts'
import type { MarkedFile } from './parts.ts'

/** The files of a folder that are named after VMs: `<id><extension>`, or that with a mark while it is made. */
export async function markedFilesIn(host: Host, folder: string, extension: string): Promise<MarkedFile[]> {
  const files = await host.list(folder).catch((error: unknown) => {
    if (error instanceof NotFoundError) return []
    throw error
  })
  return files.flatMap(({ name, kind }) => {
    const mark = markIn(name)
    const own = mark?.of ?? name
    const vm = own.endsWith(extension) ? own.slice(0, -extension.length) : ''
    if (kind !== 'file' || !isValid(Id, vm)) return []
    return [{ path: `${folder}/${name}`, vm, operation: mark?.operation ?? null }]
  })
}
